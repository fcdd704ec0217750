# program: bash
# reference: host
# bash itself: jobs, pipes, traps, substitutions, arrays, coprocesses, exit statuses.
export LC_ALL=C
set -m
sleep 5 & sleep 6 &
jobs | sed 's/ *$//'
kill %1; wait %1 2>/dev/null; echo "killed job: $?"
kill -STOP %2; sleep 0.3; jobs -s | sed 's/ *$//'
kill -CONT %2; kill %2; wait %2 2>/dev/null; echo "second job: $?"
set +m
(exit 7); echo "subshell $?"
true | false | true; echo "pipe ${PIPESTATUS[*]}"
set -o pipefail; false | true; echo "pipefail $?"; set +o pipefail
sh -c 'kill -TERM $$'; echo "TERM $?"
{ sh -c 'kill -SEGV $$'; } 2>/dev/null; echo "SEGV $?"
trap 'echo trapped USR1' USR1; kill -USR1 $$; trap - USR1
(trap 'echo leaving' EXIT; exit 3); echo "exit $?"
trap 'echo error at $LINENO >/dev/null; errors=$((errors + 1))' ERR; false; false; trap - ERR; echo "errors $errors"
coproc adder { while read -r a b; do echo $((a + b)); done; }
echo 20 22 >&"${adder[1]}"; read -r sum <&"${adder[0]}"; echo "coproc $sum"
exec {adder[1]}>&-; wait "$adder_PID"; echo "coproc ended $?"
declare -A map=([one]=1 [two]=2 [three]=3); for k in $(printf '%s\n' "${!map[@]}" | sort); do echo "$k=${map[$k]}"; done
list=(a b c d e); echo "${list[@]:1:3} ${#list[@]} ${list[-1]}"
text=hello-world; echo "${text#*-} ${text%%-*} ${text/o/0} ${text^^} ${text:2:4} ${#text}"
for ((i = 0, s = 0; i < 20000; i++)); do ((s += i % 7)); done; echo "sum $s"
fib() { (($1 < 2)) && echo "$1" || echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); }; fib 7
cat <<EOF | tr a-z A-Z
here $((6 * 7)) $(echo nested "$(echo deeper)")
EOF
while read -r line; do echo "line: $line"; done < <(printf '1\n2\n')
echo first >file; echo second >>file; cat <file; exec 5<file; read -r x <&5; read -r y <&5; echo "$x $y"; exec 5<&-
printf '%s\n' {a..e}{1..2} | paste -sd ' '
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
shopt -s extglob nullglob
touch x1 x2 y1; echo !(y*|file) | tr ' ' '\n' | grep -c x
case foo.tar.gz in *.gz) echo gz ;; esac
for i in 1 2 3; do (sleep 0.$i; exit "$i") & done; wait -n; echo "first done $?"; wait
read -r -t 0.1 nothing < <(sleep 2); echo "read timed out: $(($? > 128))"
mkfifo fifo; (echo through >fifo) & cat fifo; wait
echo "$(ulimit -s >/dev/null; echo limits)"
printf 'a\0b\0' | while IFS= read -r -d '' item; do echo "item $item"; done
command -v no-such-command; echo "not found $?"
no-such-command 2>/dev/null; echo "127: $?"
./file 2>/dev/null; echo "126: $?"
echo '#!/bin/bash
echo "script $0 $1" | sed "s,.*/,,"' >script; chmod +x script; ./script argument
echo 'echo plain $1' >plain; chmod +x plain; ./plain script
umask 077; touch private; stat -c %a private
time -p true 2>/dev/null; echo timed
exec 3>&1; echo "to three" >&3; exec 3>&-
(echo to-stderr >&2) 2>&1 | cat
set -- one "two words" three; shift; echo "$1|$#"; getopts ab: option -b value; echo "$option $OPTARG"
echo $((2 ** 62 - 1 + 2 ** 62)) $((-7 / 2)) $((-7 % 3)) $((1 << 63)) $((0x1f ^ 017))
: | { sleep 0.1; echo done; }
history -c; echo "${BASH_VERSION%%.*}"
seq 1000 | while read -r n; do echo "$n"; done | wc -l
for i in $(seq 30); do /bin/true || echo bad; done; echo thirty
