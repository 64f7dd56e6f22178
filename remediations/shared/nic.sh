# properties NIC: prints the properties of a device, one a line and sorted, from the YAML of an instance or of its devices
properties() {
  awk -v nic="$1" '
    /^devices:/ { next }
    { indent = match($0, /[^ ]/) - 1; text = substr($0, indent + 1) }
    indent == 0 && /^[a-z]+:( |$)/ && !/^devices:/ { at = "" }
    text == nic ":" || text == "\"" nic "\":" || text == "'"'"'" nic "'"'"':" { at = indent + 1; next }
    at && indent < at { at = "" }
    at { print text }' | sort
}
