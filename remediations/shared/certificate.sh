fingerprint={{ fingerprint }}
exists() { # PROJECT
  projects=$(incus project list local: --format csv --columns n) || exit 1
  printf '%s\n' "$projects" | sed 's/ (current)$//' | grep -qxF -e "$1"
}
# listed: the certificate's projects, one a line
listed() {
  printf '%s\n' "$shown" | sed -n '/^projects:$/,/^[^- ]/{s/^- //p}' | sed "s/^[\"']//; s/[\"']\$//"
}
# write: gives the certificate the projects of standard input, as YAML to `edit`, and leaves everything else as it is shown
write() {
  {
    printf '%s\n' "$shown" | sed '/^projects:/,/^[^- ]/{/^projects:/d;/^- /d}'
    sed "s/'/''/g; s/.*/- '&'/" | sed '1s/^/projects:\n/' | grep . || echo "projects: []"
  } | incus config trust edit -- "local:$fingerprint"
}
