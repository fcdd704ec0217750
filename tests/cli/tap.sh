# Sourced by the tests of the command line: TAP output, a scratch directory, the program under test.
# Usage of a test: TEST.sh GUISE
set -u
here=$(realpath "$(dirname "$0")")
guise=$(realpath "$1")
tests=0
failed=0
tmp=$(mktemp -d /tmp/guise-test-XXXXXX)
chmod 755 "$tmp"
export GUISE_DATA="$tmp/data"
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

# is NAME EXPECTED ACTUAL
is() {
    tests=$((tests + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $tests - $1"
    else
        failed=$((failed + 1))
        echo "not ok $tests - $1"
        printf '%s\n' "expected: $2" "got: $3" | sed 's/^/# /'
    fi
}

# like NAME PATTERN ACTUAL: PATTERN is a shell pattern
like() {
    case $3 in
    $2) is "$1" yes yes ;;
    *) is "$1" "$2" "$3" ;;
    esac
}

# try COMMAND...: runs it; its output, its messages and its exit status are then in $out, $err, $status
try() {
    "$@" >"$tmp/.out" 2>"$tmp/.err" </dev/null
    status=$?
    out=$(cat "$tmp/.out")
    err=$(cat "$tmp/.err")
}

skip() {
    tests=$((tests + 1))
    echo "ok $tests - $1 # SKIP $2"
}

# compile NAME <SOURCE: a static riscv64 program
compile() {
    riscv64-linux-gnu-gcc -static -O1 -w -o "$tmp/$1" -x c -
}

have_compiler() {
    command -v riscv64-linux-gnu-gcc >/dev/null
}

# A dynamic build (sanitizers) cannot be started again inside a root directory.
is_static() {
    ! readelf -lW "$guise" 2>/dev/null | grep -q INTERP
}

finish() {
    echo "1..$tests"
    [ "$failed" = 0 ]
    exit
}
