# Addresses of a link that Incus counts as global, to take away and to give back. Needs state.sh to take, kept.sh to give.
first_of() { printf '%s\n' "$1" | sed -e 's/[[:space:]]*$//' -e q; } # TEXT: print its first line, without spaces at the end

addresses() { # LINK: print a line for each one: when its lifetimes end, in seconds since the epoch, and the words of "ip addr add"
  now=$(date +%s)
  shown=$(ip -o addr show dev "$1")
  printf '%s\n' "$shown" | while read -r _ _ family local rest; do
    case $local in '' | fe[89ab]*:* | 169.254.* | 127.* | ::1/*) continue ;; esac
    more=${rest%%\\*} words=$local label='' valid=forever preferred=forever
    if [ "$family" = inet ]; then label=${more##* } more=${more% *}; fi # the last word; addresses of IPv6 have none
    if [ "$label" = "$1" ]; then label=; fi
    link=$1
    set -f
    # shellcheck disable=SC2086 # words
    set -- $more ${rest#*\\}
    while [ $# -gt 0 ]; do
      case $1 in
        peer | metric | brd | scope | proto) words="$words $1 $2"; shift ;;
        any) words="$words anycast $2"; shift ;;
        valid_lft) valid=$(end_of "$2"); shift ;;
        preferred_lft) preferred=$(end_of "$2"); shift ;;
        noprefixroute | nodad | home | mngtmpaddr | autojoin | optimistic) words="$words $1" ;;
        secondary | tentative | dadfailed | deprecated | dynamic) ;; # the kernel itself finds these out
        *) words="$words is-$1" ;; # "ip addr add" can't say it
      esac
      shift
    done
    set +f
    set -- "$link"
    echo "$valid $preferred $words${label:+ label $label}"
  done
}

end_of() { # LIFETIME as ip shows it
  if [ "$1" = forever ]; then echo forever; else echo $((now + ${1%sec})); fi
}

may_lose_addresses() { # LINK: refuse a link with routes, neighbours or addresses that undo could not restore, or that this session uses
  for family in 4 6; do
    # The kernel adds those of the table local, and one to the network of each address.
    found=$(ip -o "-$family" route show table all dev "$1" | grep -v -e ' table local ' -e ' proto kernel ' || true)
    [ -z "$found" ] ||
      refuse "a route over $1 would be lost: $(first_of "$found"). Remove it first: ip -$family route show table all dev $1"
  done
  found=$(ip -o neigh show dev "$1" nud permanent; ip -o neigh show proxy dev "$1")
  [ -z "$found" ] ||
    refuse "a neighbour that somebody added to $1 would be lost: $(first_of "$found"). Remove it first: ip neigh show dev $1"
  session=$(echo "${SSH_CONNECTION:-}" | cut -d ' ' -f 3)
  if [ -n "$session" ] && ip -o addr show dev "$1" | grep -qF " $session/"; then refuse "this ssh session uses $1"; fi
  addresses "$1" >"$SIGSRV_STATE/found"
  while read -r _ _ local words; do
    case " $words" in
      *" is-"*) refuse "the address $local of $1 is ${words##*is-}, and undo can't add such a one. Decide by hand: ip addr show dev $1" ;;
      *" noprefixroute"*) not_routed_by_hand "$1" "$local" ;;
    esac
    case $local in *:*) family=6 ;; *) family=4 ;; esac
    found=$(ip -o "-$family" route show table all src "${local%/*}" | grep -v -e ' table local ' -e ' proto kernel ' || true)
    [ -z "$found" ] || refuse "a route with the source address ${local%/*} of $1 would be lost: $(first_of "$found")"
  done <"$SIGSRV_STATE/found"
}

not_routed_by_hand() { # LINK ADDRESS: refuse an address whose route to its network is not the kernel's. NetworkManager adds such routes.
  case $2 in
    *:*) found=$(ip -o -6 route show table all dev "$1" match "${2%/*}" proto kernel | grep -v ' table local ' || true) ;;
    *) found=$(ip -o -4 route show table all dev "$1" src "${2%/*}" proto kernel | grep -v ' table local ' || true) ;;
  esac
  [ -z "$found" ] || refuse "the address $2 of $1 has a route of its own, which would be lost: $(first_of "$found"). Decide by hand: ip addr show dev $1"
}

keep_addresses() { # after may_lose_addresses: save what it found. An interrupted run has saved all before it took the first one.
  if [ ! -s "$SIGSRV_STATE/addresses" ]; then mv "$SIGSRV_STATE/found" "$SIGSRV_STATE/addresses"; fi
}

delete_address() { # LINK ADDRESS WORDS
  case $3 in
    "peer "*) peer=${3#peer } && ip addr del "$2" peer "${peer%% *}" dev "$1" ;;
    *) ip addr del "$2" dev "$1" ;;
  esac
}

take_addresses() { # LINK: remove the saved ones
  while read -r _ _ local words; do
    # With the first address of a network, the kernel also removes the others of that network.
    if ip -o addr show dev "$1" | grep -qF " $local "; then delete_address "$1" "$local" "$words"; fi
    echo "$1: $local -> none"
  done <"$SIGSRV_STATE/addresses"
}

give_addresses() { # LINK: add the saved ones again
  addresses "$1" >"$SIGSRV_STATE/now"
  now=$(date +%s)
  while read -r valid preferred local words; do
    if cut -d ' ' -f 3- "$SIGSRV_STATE/now" | grep -qxF -e "$local $words"; then continue; fi
    if grep -qF " $local " "$SIGSRV_STATE/now"; then
      if ! forced; then kept "$1: the address $local is there with other properties, not gone as the fix left it"; continue; fi
      delete_address "$1" "$local" "$words"
    fi
    lifetimes=
    if [ "$valid $preferred" != "forever forever" ]; then
      if [ "$(left_of "$valid")" = 0 ]; then echo "$1: the lifetime of $local is over"; continue; fi
      lifetimes="valid_lft $(left_of "$valid") preferred_lft $(left_of "$preferred")"
    fi
    # shellcheck disable=SC2086 # words of "ip addr add"
    if ip addr add "$local" $words $lifetimes dev "$1"; then
      echo "$1: none -> $local"
    else
      kept "$1: the address $local is gone, and ip can't add it again: ip addr add $local $words dev $1"
    fi
  done <"$SIGSRV_STATE/addresses"
}

left_of() { # forever | END: print the rest of a lifetime in seconds, 0 if it is over
  if [ "$1" = forever ]; then echo forever; elif [ "$1" -gt "$now" ]; then echo $(($1 - now)); else echo 0; fi
}
