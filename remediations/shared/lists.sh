# Lists of Incus: words between commas, perhaps with blanks around them.
tidy() { printf '%s\n' "$1" | sed -e 's/[[:blank:]]//g' -e 's/,,*/,/g' -e 's/^,//' -e 's/,$//'; } # LIST: print it without blanks
sorted() { tidy "$1" | tr , '\n' | sort; } # LIST: print its words, one a line
has_word() { case ",$(tidy "$1")," in *",$2,"*) return 0 ;; *) return 1 ;; esac; } # LIST WORD
without() { # LIST WORD: print the list without the word
  left=,$(tidy "$1"),
  while :; do
    case $left in *",$2,"*) left=${left%%",$2,"*},${left#*",$2,"} ;; *) break ;; esac
  done
  left=${left#,}
  printf '%s\n' "${left%,}"
}
