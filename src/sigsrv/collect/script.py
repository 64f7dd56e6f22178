"""The script that runs probes on a host. ``collect.answers`` reads its output.

The script is POSIX ``sh``. On the host it needs coreutils, and iproute2 for ``link``. It writes no file.

A program can hang in the kernel, where SIGKILL does not end it, or leave a process behind that keeps its output open. So nothing
waits for a program or for the end of its output: what reads the output has a time limit of its own. And nothing that may hang has
the connection open, as sshd ends a session only when all have closed it. The script starts the probes in their order, two at a time.
It waits at most a second for each, and leaves a slower one in the background.

An answer comes back as one frame, in one piece: the line ``WORD ID COUNT`` and ``COUNT`` bytes of base64. They contain:

    standard output
    WORD STATUS      the program's exit status, printed when it has ended; more output may follow, from processes that it left behind
    WORD STATUS      the exit status of the process that passed the output on
    standard error
    WORD LENGTH      the length of standard error

A part of it is never taken for the whole, whatever was killed: base64 or head leaves no last line, cat has another exit status.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from sigsrv.collect.probes import Probe

# A program that writes more than a pipe holds to its standard error waits until its time is up.
ROOM_BYTES = (
    72 * 1024
)  # in an answer, beside the standard output: more than a pipe of standard error and the lines of the script
_STDERR_BYTES = 4096  # from here on, further lines of standard error are dropped
_KILL_S = 1  # between SIGTERM and SIGKILL
# NixOS has its programs in the last folder, and copies that are setuid (sudo) in the first, which only root can make. The last folder
# has a sudo too, but it is not setuid and refuses to run.
_PATH = "/run/wrappers/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"

# A pipe that is opened again through /proc can be read and written by everyone, and has no end. fd 5 is such a pipe for each probe, for
# its standard error. Pipe 6 is for events: "done ID" of each job, and a tick every half second. A tick moves the running jobs from newer
# to older to late; late ones are not waited for. Pipe 7 holds one line, the right to write a frame. fd 3 is the script's standard output.
#
# exec closes descriptors, because a shell keeps those that a redirection of a function closes.
_PRELUDE = """\
PATH={path}; LC_ALL=C; export PATH LC_ALL; unset LANGUAGE; exec 3>&1 </dev/null
root=; [ "$(id -u)" = 0 ] || root="sudo -n"
answer() {{
  {{ {{
    timeout -k {kill} "$seconds" "$@" 2>&5 5>&-
    printf '\\n{word} %s\\n' "$?"
  }} & }} | timeout -k {kill} "$((seconds + {kill} + 1))" cat
  printf '\\n{word} %s\\n' "$?"
  printf '\\n{word}\\n' >&5 &
  err=
  while IFS= read -r line && [ "$line" != {word} ]; do
    [ "${{#err}}" -ge {stderr} ] || err="$err$line
"
  done <&5
  printf '%s\\n{word} %s\\n' "$err" "${{#err}}"
}}
job() {{
  id=$1 seconds=$2 limit=$3; shift 3
  frame=$(
    exec 2>/dev/null 3>&- 6>&- 7>&-
    : | {{ exec 5<>/proc/self/fd/0 </dev/null; answer "$@"; }} | head -c "$limit" | base64
  )
  read -r turn <&7
  printf '{word} %s %s\\n%s\\n' "$id" "${{#frame}}" "$frame" >&3
  echo >&7
  echo "done $id" >&6
}}
fewer() {{ [ $# -le "$1" ]; }} # LIMIT WORD...: whether there are fewer words than the limit
without() {{ gone=$1 kept=; shift; for each; do [ "$each" = "$gone" ] || kept="$kept $each"; done; }}
event() {{
  read -r what id <&6
  case $what in
    tick) late="$late $older" older=$newer newer= ;;
    done)
      without "$id" $newer; newer=$kept
      without "$id" $older; older=$kept
      without "$id" $late; late=$kept ;;
    over)
      for each in $newer $older $late; do echo >&7; done # one of them may have been killed while it had the right to write
      over=yes newer= older= late= ;;
  esac
}}
probe() {{
  [ -z "$over" ] || return
  job "$@" &
  newer="$newer $1"
  until fewer 2 $newer $older && fewer 10 $newer $older $late; do event; done
}}
settle() {{ until fewer 1 $newer $older; do event; done; }}
main() {{
  newer= older= late= over=
  echo >&7
  {{
    exec >/dev/null 2>&1 3>&- 6>/proc/self/fd/6 7>&- # 6 only for writing: the ticks end when nobody can read them any more
    i=0
    while [ "$i" -lt {ticks} ]; do sleep 0.5 || sleep 1; i=$((i + 1)); echo tick >&6 || exit; done
    echo over >&6
  }} &
"""
_END = """\
  until fewer 1 $newer $older $late; do event; done
}
: | { exec 6<>/proc/self/fd/0; : | { exec 7<>/proc/self/fd/0 </dev/null; main; }; }
"""


def script(probes: Iterable[Probe], word: str, life_s: float) -> str:
    """Return the ``sh`` script that runs the probes. The last one starts when all others have answered or hang.

    word: random, letters and digits. life_s: after these seconds the script ends in any case.

    The script is a single command in braces, so the shell reads all of it before it runs anything. It arrives on the standard
    input, which the script itself closes. Without the braces, a shell (bash reads line by line) would lose the rest.
    """
    prelude = _PRELUDE.format(path=_PATH, word=word, stderr=_STDERR_BYTES, kill=_KILL_S, ticks=max(1, int(2 * life_s)))
    *calls, last = [
        f"  probe {p.id} {p.timeout_s} {p.limit_bytes + ROOM_BYTES} {'$root ' if p.root else ''}{p.shell}\n"
        for p in probes
    ]
    return "".join(["{\n", prelude, *calls, "  settle\n", last, _END, "}\n"])


def shell_command(text: str, shell: str = "/bin/sh -s") -> str:
    """Return a command line that runs a script from any login shell. Its characters mean the same in sh, fish and csh.

    shell: runs a script from its standard input.
    """
    return f"echo {base64.b64encode(text.encode()).decode()} | base64 -d | {shell}"
