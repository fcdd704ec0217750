#!/bin/sh
# Help, versions, mistakes.
. "$(dirname "$0")/tap.sh"

try "$guise" --version
like 'version' 'guise [0-9]*.[0-9]*.[0-9]*' "$out"
try "$guise" version --json
like 'version as JSON' '{"version": "*"}' "$out"
try "$guise" --help
is 'help succeeds' 0 "$status"
like 'help names the verbs' '*run*image*disasm*binfmt*' "$out"
is 'help has no errors' '' "$err"
for verb in run image disasm binfmt version; do
    try "$guise" "$verb" --help
    is "$verb --help succeeds" 0 "$status"
    like "$verb --help shows its usage" "Usage: guise $verb*" "$out"
    try "$guise" help "$verb"
    like "help $verb shows it too" "Usage: guise $verb*" "$out"
done
# The manual page says what --help says.
page=$here/../../docs/guise.1.scd
for verb in run image disasm binfmt version; do
    missing=
    for option in $("$guise" "$verb" --help | grep -o -e '--[a-z][a-z0-9-]*' | sort -u); do
        grep -q -e "\*$option\*" "$page" || missing="$missing $option"
    done
    is "$verb: its options are in the manual page" '' "$missing"
done
try "$guise"
is 'no verb is wrong usage' 2 "$status"
try "$guise" rum
is 'an unknown verb is wrong usage' 2 "$status"
like 'the nearest verb is named' "guise: unknown verb 'rum'; did you mean 'run'?*" "$err"
try "$guise" frobnicate
like 'no verb is near' "guise: unknown verb 'frobnicate'
*" "$err"
try "$guise" --strace ./x
is 'an option without a verb' 2 "$status"
try "$guise" run --strase ./x
is 'an unknown option is wrong usage' 2 "$status"
like 'the nearest option is named' '*did you mean --strace?*' "$err"
try "$guise" run -x ./x
like 'an unknown letter' 'guise: unknown option -x*' "$err"
try "$guise" run --root
like 'a missing value' 'guise: --root needs a value*' "$err"
try "$guise" run --strace=1 x
like 'a value too much' 'guise: --strace=1 takes no value*' "$err"
try "$guise" run
is 'no program is wrong usage' 2 "$status"
try "$guise" run --engine=steam x
like 'an unknown engine' "guise: engine: 'steam' should be interp*" "$err"
try "$guise" run --cpu rv64gc,zqq x
like 'an unknown extension' "guise: unknown CPU extension 'zqq'*" "$err"
try "$guise" run --cpu help
like 'extensions are listed' '*zba*zbb*' "$out"
try "$guise" image pulll x
like 'the nearest action is named' "*did you mean 'pull'?*" "$err"
try "$guise" image list extra
is 'list takes no names' 2 "$status"
try "$guise" disasm
is 'disasm wants a file' 2 "$status"
finish
