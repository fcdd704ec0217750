#!/bin/sh
# guise image: names, failures that leave nothing behind. (tests/debian pulls a real one.)
. "$(dirname "$0")/tap.sh"

try "$guise" image list
is 'no images' '' "$out"
try "$guise" image list --json
is 'no images as JSON' '[]' "$out"
mkdir -p data/images/debian/trixie data/images/debian/.sid.new data/images/mine/latest
try "$guise" image list
is 'images by name' 'debian:trixie mine:latest' "$(echo "$out" | cut -d' ' -f1 | paste -sd' ')"
try "$guise" image list --json
is 'images as JSON' "$tmp/data/images/debian/trixie" "$(echo "$out" | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["path"])')"
try "$guise" image remove mine
is 'remove' 0 "$status"
is 'an empty folder goes too' 'debian' "$(ls data/images)"
try "$guise" image remove mine
is 'remove what is not there: 127' 127 "$status"
for name in ../debian:trixie debian:../x /etc debian: : .debian:x 'a b:c'; do
    try "$guise" image remove "$name"
    is "'$name' is no name" 125 "$status"
done
try "$guise" image pull debian:trixie
is 'pull of what is there' 0 "$status"
like 'pull of what is there: the message' '*is there already*' "$err"
try "$guise" image pull fedora:40
like 'pull of another system' "guise: cannot pull 'fedora:40'*" "$err"
try "$guise" image pull 'debian:../../x'
is 'pull of a wrong suite' 125 "$status"
"$guise" image remove debian:trixie
rm -rf data/images

if ! is_static; then
    try "$guise" image pull debian:trixie
    like 'a dynamic build says that it cannot' '*is linked dynamically*' "$err"
    finish
fi
if [ ! -x /usr/sbin/debootstrap ]; then
    skip 'failed pulls' 'no debootstrap'
    finish
fi
if [ "$(id -u)" != 0 ] && ! unshare -Ur true 2>/dev/null; then
    skip 'failed pulls' 'user namespaces are forbidden here'
    finish
fi
try "$guise" image pull --mirror file:///nonexistent debian:trixie
is 'a mirror that is none: 125' 125 "$status"
like 'a mirror that is none: the message' '*guise: the first stage of debian:trixie failed: *' "$err"
is 'nothing half-made is left' '.trixie.log' "$(ls -A data/images/debian)"

# A mirror that never answers: the pull is interrupted.
python3 -c '
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(8)
print(s.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(s.accept())' >port &
server=$!
until [ -s port ]; do sleep 0.05; done
# Not from this shell: it makes its background jobs ignore SIGINT.
python3 - "$guise" "$(cat port)" >result 2>&1 <<'PY'
import os, signal, subprocess, sys, time
guise, port = sys.argv[1:]
command = [guise, 'image', 'pull', '--mirror', f'http://127.0.0.1:{port}/debian', 'debian:trixie']
first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
work = os.environ['GUISE_DATA'] + '/images/debian/.trixie.new/debootstrap'
for _ in range(200):
    if os.path.exists(work):
        break
    time.sleep(0.05)
second = subprocess.run(command, stderr=subprocess.PIPE, text=True)
print(second.returncode, second.stderr.strip())
first.send_signal(signal.SIGINT)
print(first.wait(20))
PY
kill $server
like 'two pulls at once' '125 guise: debian:trixie is being pulled*' "$(head -1 result)"
is 'an interrupted pull dies by the signal' -2 "$(tail -1 result)"
is 'an interrupted pull leaves nothing' '' "$(ls -A data/images/debian)"
finish
