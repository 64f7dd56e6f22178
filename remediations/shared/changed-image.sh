# An image that Incus updates gets another fingerprint. It keeps its aliases and its source.
names() { # prints the aliases and the source of the image in standard input, one line each, as JSON
  awk '
    /^\t"aliases": \[$/ { part = "alias" }
    /^\t"update_source": \{$/ { part = "source"; alias = ""; server = "" }
    /^\t[]}]/ { if (part == "source" && alias != "" && server != "") print "source " server " " alias; part = "" }
    part == "alias" && /^\t\t\t"name": / { sub(/^[^:]*: /, ""); print "alias " $0 }
    part == "source" && /^\t\t"alias": "[^"]/ { alias = $0; sub(/^[^:]*: /, "", alias); sub(/,$/, "", alias) }
    part == "source" && /^\t\t"server": "[^"]/ { server = $0; sub(/^[^:]*: /, "", server); sub(/,$/, "", server) }'
}
