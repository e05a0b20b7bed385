"""A POSIX shell script that tries flows with whatever a container has, and what its tools' words mean."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from .observation import Reading
from .targets import Attempt

_AT_ONCE = 64  # URLs of one curl
PROCESSES = 16  # attempts at once where each is a process
DNS_PORT = 53  # a name server is silent to anything but a question

# The question for kube-dns.kube-system.svc.cluster.local (A): a cluster's DNS knows it or says that it does not. No byte of
# it is a line feed, where bash would cut the datagram in two.
_NAME = "kube-dns.kube-system.svc.cluster.local"
_QUESTION = (
    r"\022\064\001\000\000\001\000\000\000\000\000\000"
    r"\010kube-dns\013kube-system\003svc\007cluster\005local\000\000\001\000\001"
)

# One curl for all TCP attempts where it can report on each (since 7.75). It needs HTTP to know that a connection
# stands, but %{time_connect} tells it whatever the other side then answers.
_PRELUDE = r"""
has() { command -v "$1" >/dev/null 2>&1; }
A=; for a in /agnhost agnhost; do has $a && A=$a && break; done
K=; has timeout && K="timeout 6"
Z=; has curl && case "$(curl --version)" in
  "curl "[1-6].*|"curl 7."[0-9].*|"curl 7."[1-6][0-9].*|"curl 7.7"[0-4].*) ;;
  *) Z=1;;
esac
say() { printf '@%s %s %s - | %s\n' "$1" "$2" "$3" "$(printf %s "$4" | tr '\n' ' ')"; }
many() {
  n=$1; shift
  curl -sS -g -Z --parallel-immediate --parallel-max 64 --connect-timeout TIMEOUT --max-time TIMEOUT \
    -w '%{urlnum} %{exitcode} %{time_total} | %{errormsg}#%{http_code} %{time_connect}\n' "$@" 2>/dev/null </dev/null |
  while read -r i rest; do
    set -- $n; shift $i; c=${rest%% *}; printf '@%s curl %s %s\n' "$1" "$c" "${rest#* }"
  done
}
dns() {
  h=${2#\[}; h=${h%\]}
  if has dig; then
    m=$(dig +time=WHOLE +tries=1 +noall +answer -p $3 "@$h" NAME A 2>&1 </dev/null); say $1 dig $? "$m"; return
  elif has nc; then
    with=ncudp; r=$({ printf 'QUESTION' | $K nc -u -w WHOLE "$h" $3 2>&1; echo "#$?"; } | tr -cd 'A-Za-z0-9 :.#-')
  elif has bash && has timeout; then
    with=bashudp; r=$({ timeout TIMEOUT bash -c "exec 3<>/dev/udp/$h/$3; printf 'QUESTION' >&3
      dd bs=512 count=1 <&3 2>/dev/null || { echo refused; exit 9; }" 2>&1 </dev/null; echo "#$?"; } | tr -cd 'A-Za-z0-9 :.#-')
  else say $1 missing 0 "the container has no tool to ask a name server"; return
  fi
  m=${r%#*}; c=${r##*#}
  case $m in *kube-system*) c=0;; esac
  say $1 $with $c "$m"
}
t() {
  if [ -n "$A" ] && { [ "$2" != TCP ] || ! has curl; }; then
    p=$(echo "$2" | tr A-Z a-z)
    m=$($K $A connect "$3:$4" --timeout=TIMEOUTs --protocol=$p 2>&1 </dev/null); say $1 agnhost $? "$m"
  elif [ "$2" = TCP ] && has curl; then
    m=$(curl -sS -g -o /dev/null --connect-timeout TIMEOUT --max-time TIMEOUT \
      -w '#%{http_code} %{time_connect}' "http://$3:$4$5" 2>&1 </dev/null)
    say $1 curl $? "$m"
  elif [ "$2" = TCP ] && has nc; then
    m=$($K nc -z -v -w WHOLE "$3" "$4" 2>&1 </dev/null); say $1 nc $? "$m"
  elif [ "$2" = TCP ] && has wget; then
    m=$($K wget -q -T WHOLE -O /dev/null "http://$3:$4$5" 2>&1 </dev/null); say $1 wget $? "$m"
  elif [ "$2" = TCP ] && has bash && has timeout; then
    m=$(timeout TIMEOUT bash -c ": </dev/tcp/$3/$4" 2>&1 </dev/null); say $1 bash $? "$m"
  elif [ "$2" = UDP ] && has nc; then
    m=$(echo hostname | $K nc -u -w WHOLE "$3" "$4" 2>&1); say $1 ncudp $? "$m"
  elif [ "$2" = UDP ] && has bash && has timeout; then
    m=$(timeout TIMEOUT bash -c "exec 3<>/dev/udp/$3/$4; echo hostname >&3
      dd bs=64 count=1 <&3 2>/dev/null || { echo refused; exit 9; }" 2>&1 </dev/null)
    say $1 bashudp $? "$m"
  else say $1 missing 0 "the container has no tool for $2"; fi
}
[ -n "$A" ] || has curl || has nc || has wget || has bash || has dig || { echo @none; exit 0; }
"""


def shell_script(attempts: Sequence[Attempt], seconds: float, path: str = "/") -> str:
    """A POSIX script that tries everything in parallel and prints `@NUMBER TOOL EXITCODE SECONDS | MESSAGE` for each.

    It prints `@none` when there is nothing to try with. `seconds`: the limit of an attempt.
    """
    limit, whole = f"{seconds:g}", str(max(1, round(seconds)))
    urls, streams, others = [], [], []
    for number, attempt in enumerate(attempts):
        bracketed = f"[{attempt.host}]" if ":" in attempt.host else attempt.host
        call = f"t {number} {attempt.flow.protocol} {shlex.quote(bracketed)} {attempt.flow.port} {shlex.quote(path)} &"
        if (attempt.flow.protocol, attempt.flow.port) == ("UDP", DNS_PORT):
            call = f"dns {number} {shlex.quote(bracketed)} {attempt.flow.port} &"
        if attempt.flow.protocol == "TCP":
            urls.append((number, shlex.quote(f"http://{bracketed}:{attempt.flow.port}{path}")))
            streams.append(call)
        else:
            others.append(call)
    filled = {"TIMEOUT": limit, "WHOLE": whole, "NAME": _NAME, "QUESTION": _QUESTION}
    prelude = _PRELUDE
    for word, value in filled.items():
        prelude = prelude.replace(word, value)
    lines = [prelude]
    if streams:
        lines.append('if [ -n "$Z" ]; then')
        for start in range(0, len(urls), _AT_ONCE):
            piece = urls[start : start + _AT_ONCE]
            numbers = " ".join(str(number) for number, _ in piece)
            lines.append(f"many '{numbers}' {' '.join(f'-o /dev/null {url}' for _, url in piece)} &")
        lines += ["else", *_in_groups(streams), "fi"]
    return "\n".join([*lines, *_in_groups(others), "wait", "exit 0"]) + "\n"


def _in_groups(calls: list[str]) -> list[str]:
    """Shell lines with a `wait` after every so many: each is a process or three."""
    return [
        line
        for i, call in enumerate(calls, 1)
        for line in ((call, "wait") if i % PROCESSES == 0 else (call,))
    ] or [":"]


def read_tool(tool: str, code: int, text: str, seconds: str) -> Reading:
    """What a tool's exit code and words mean."""
    evidence: dict[str, Any] = {"tool": tool.removesuffix("udp")}
    if seconds != "-":
        evidence["seconds"] = _number(seconds)
    if tool == "missing":
        return Reading("error", {**evidence, "error": text})
    if tool == "curl":
        text, _, measured = text.rpartition("#")
        status, _, connected = measured.partition(" ")
        if status.isdigit() and int(status):
            evidence["status"] = int(status)
        if code in (0, 52) or _number(connected) > 0:
            return Reading("ok", evidence)
    if text:
        evidence["error"] = text.strip()
    if code == 0 and (tool != "ncudp" or text):
        evidence.pop("error", None)
        return Reading("ok", evidence if not tool.endswith("udp") else {**evidence, "body": text})
    return Reading(_outcome(tool, code, text), evidence)


def _outcome(tool: str, code: int, text: str) -> str:
    lower = text.lower()
    names = ("could not resolve", "bad address", "dns:", "name or service not known", "name resolution", "getaddrinfo",
             "no such host", "resolving timed out", "unable to resolve", "name does not resolve", "try again")  # fmt: skip
    if tool == "agnhost" and code in (124, 143):
        return "dns"  # it was ended after 6 s: its own limit does not hold while it asks for a name
    if (tool == "curl" and code in (5, 6)) or any(words in lower for words in names):
        return "dns"
    if "refused" in lower:
        return "refused"
    if "reset by peer" in lower:
        return "reset"
    if "no route to host" in lower or "unreachable" in lower or "prohibited" in lower:
        return "unreachable"
    if "server returned error" in lower:
        return "ok"  # wget: an answer is an answer
    if "invalid option" in lower or "unrecognized option" in lower:
        return "error"  # a smaller build of the tool than the script counts on: it tried nothing
    if tool == "curl" and code == 7:
        return "refused"
    if (
        code in (28, 124, 143)
        or "timed out" in lower
        or "timeout" in lower
        or tool in ("nc", "ncudp", "wget", "bash", "bashudp", "dig")
    ):
        return "timeout"
    return "error"


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return 0.0
