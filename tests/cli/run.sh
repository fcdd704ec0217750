#!/bin/sh
# guise run: status, arguments, environment, roots.
. "$(dirname "$0")/tap.sh"
if ! have_compiler; then
    echo '1..0 # SKIP no riscv64 cross compiler'
    exit 0
fi

compile show <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char cwd[4096];
    for (int i = 0; i < argc; i++)
        printf("[%s]", argv[i]);
    printf(" %s %s %d\n", getcwd(cwd, sizeof(cwd)), getenv("GUISE_TEST") ? getenv("GUISE_TEST") : "unset", getuid());
}
C
compile end <<'C'
#include <signal.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
    if (argc > 2)
        raise(atoi(argv[2]));
    return atoi(argv[1]);
}
C
compile exe <<'C'
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char path[64], file[4096] = "";
    snprintf(path, sizeof(path), "/proc/%s/exe", argv[1]);
    return readlink(path, file, sizeof(file) - 1) < 0 || puts(strrchr(file, '/') + 1) < 0;
}
C
# Runs itself again N times, the last one prints how it was called.
compile again <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char left[16];
    int n = atoi(argv[1]), status = 0;
    if (n == 0)
        return printf("%s done as %d\n", argv[0], getuid()) < 0;
    snprintf(left, sizeof(left), "%d", n - 1);
    if (fork() == 0) {
        execl(argv[2], "child", left, argv[2], NULL);
        perror("exec");
        _exit(1);
    }
    wait(&status);
    return WEXITSTATUS(status);
}
C

try "$guise" run ./show a 'b c' --root
is 'arguments are the program'"'s" "[./show][a][b c][--root] $tmp unset $(id -u)" "$out"
is 'no output of its own' '' "$err"
try "$guise" run -- ./show --
is '-- ends the options' "[./show][--] $tmp unset $(id -u)" "$out"
try "$guise" run --stats=json ./show
for tier in interpreter translated compile; do
    like "stats: time of $tier" "*\"${tier}_ns\":[1-9]*" "$err"
done
try "$guise" run --argv0 other ./show
like 'argv0' '\[other\] *' "$out"
try "$guise" run --cwd / "$tmp/show"
like 'cwd' '*show\] / unset *' "$out"
try "$guise" run --env GUISE_TEST=1 --env GUISE_TEST=2 ./show
like 'env sets' '* 2 *' "$out"
GUISE_TEST=3
export GUISE_TEST
try "$guise" run ./show
like 'the environment is handed down' '* 3 *' "$out"
try "$guise" run --env GUISE_TEST ./show
like 'env removes' '* unset *' "$out"
unset GUISE_TEST
try env PATH="$tmp" "$guise" run show
like 'PATH is searched' '\[show\] *' "$out"

for n in 0 1 42 255; do
    try "$guise" run ./end $n
    is "exit status $n" $n "$status"
done
for n in 9 15; do
    try sh -c '"$1" run ./end 0 $2; echo $?' sh "$guise" $n
    is "death by signal $n" $((128 + n)) "$out"
done

try "$guise" run ./none
is 'a missing program: 127' 127 "$status"
like 'a missing program: the message' 'guise: ./none*' "$err"
try "$guise" run no-such-program
is 'missing in PATH: 127' 127 "$status"
try "$guise" run /
is 'a directory: 126' 126 "$status"
try "$guise" run "$guise"
is 'a program of the host: 126' 126 "$status"
like 'a program of the host: the message' '*this is an x86-64 program*' "$err"
echo hello >text
chmod +x text
try "$guise" run ./text
is 'a text: 126' 126 "$status"

try "$guise" run ./again 3 "$tmp/again"
is 'programs started by the program' "child done as $(id -u)" "$out"

# ---- what others see of it ----
compile wait <<'C'
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    char byte;
    puts("ready");
    fflush(stdout);
    return read(0, &byte, 1) < 0;
}
C
mkfifo in out
"$guise" run --argv0 waiting ./wait 'a b' c <in >out &
exec 3>in 4<out
read -r _ <&4
is 'its name for ps and killall' wait "$(cat /proc/$!/comm)"
if python3 -c 'import ctypes; exit(ctypes.CDLL(None).prctl(35, 15, ctypes.byref(ctypes.c_uint()), 0, 0))'; then
    is 'its arguments for ps' 'waiting|a b|c|' "$(tr '\0' '|' </proc/$!/cmdline)"
    is 'its file, for another guest' wait "$("$guise" run ./exe $!)"
else
    skip 'its arguments for ps' 'this kernel has no PR_SET_MM_MAP'
fi
exec 3>&- 4<&-
wait

# ---- a report that nobody reads ----
compile piped <<'C'
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static volatile int told;
static void on_pipe(int number)
{
    told += number == SIGPIPE;
}
int main(void)
{
    signal(SIGPIPE, on_pipe);
    for (int i = 0; i < 1000; i++)
        getppid();
    printf("told %d times\n", told);
}
C
mkfifo reports
head -n 1 <reports >/dev/null &
is 'a closed --strace is none of the guest'"'"'s business' 'told 0 times' "$(timeout 20 "$guise" run --strace ./piped 2>reports)"
wait

# ---- descriptors of the monitor's own ----
# Lists its descriptors, closes all from 2 on in one of three ways, and executes itself.
compile close <<'C'
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void close_listed(void)
{
    struct dirent *entry;
    DIR *list = opendir("/proc/self/fd");
    while ((entry = readdir(list)))
        if (atoi(entry->d_name) > 1 && atoi(entry->d_name) != dirfd(list))
            close(atoi(entry->d_name));
}
static void print_listed(const char *path)
{
    struct dirent *entry;
    DIR *list = opendir(path);
    while ((entry = readdir(list)))
        if (atoi(entry->d_name) > 900) /* none of the caller's is that high */
            printf("%s/%s is there\n", path, entry->d_name);
    closedir(list);
}
int main(int argc, char **argv)
{
    char task[64];
    if (argc < 2)
        return puts("again") < 0;
    snprintf(task, sizeof(task), "/proc/self/task/%d/fd", getpid());
    print_listed("/proc/self/fd");
    print_listed("/proc/self/fdinfo");
    print_listed(task);
    fflush(stdout);
    if (strcmp(argv[1], "range") == 0)
        close_range(2, ~0U, 0);
    else if (strcmp(argv[1], "list") == 0)
        close_listed();
    else
        for (int fd = 2; fd < 70000; fd++)
            close(fd);
    execl(argv[2], argv[2], NULL);
    return 1;
}
C
for how in range list loop; do
    try "$guise" run --stats=json ./close $how ./close
    is "$how: the monitor's descriptors are not listed, and not closed" again "$out"
    like "$how: --stats goes where standard error was" '{"*instructions":*}' "$err"
    try "$guise" run --strace ./close $how ./close
    like "$how: --strace as well" '*execve(*exit_group(0) = ?' "$err"
done

# Gives up root as daemons do, and starts itself again to see that it stays so.
compile drop <<'C'
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    gid_t groups[3] = {7, 8, 9}, got[8];
    uid_t r, e, s;
    if (argc < 2) {
        if (setgroups(3, groups) || setresgid(6, 6, 6) || setresuid(5, 5, 5))
            return perror("drop"), 1;
        execl("/drop", "drop", "again", NULL);
        return perror("exec"), 1;
    }
    if (strcmp(argv[1], "again") == 0 && execl("/drop", "drop", "once more", NULL))
        return perror("exec"), 1;
    getresuid(&r, &e, &s);
    int n = getgroups(8, got);
    printf("%d %d %d %d %d:", r, e, s, getgid(), getegid());
    for (int i = 0; i < n; i++)
        printf(" %d", got[i]);
    printf(" vector %lu %lu secure %lu", getauxval(AT_UID), getauxval(AT_EGID), getauxval(AT_SECURE));
    printf(" back %d %d\n", setuid(0), setgroups(0, NULL));
}
C
# Changes its root to a directory without /proc, and goes on from program to program there.
compile enter <<'C'
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    if (chroot("/inner") || chdir("/"))
        return perror("chroot"), 1;
    execl("/again", "again", "3", "/again", NULL);
    perror("exec");
}
C

# ---- roots ----
mkdir -p root/bin root/proc other bare
cp show again root/bin
cp again bare
mkdir root/inner
cp again root/inner
cp drop enter root
echo shown >other/file
compile cat <<'C'
#include <stdio.h>
int main(int argc, char **argv)
{
    FILE *f = fopen(argv[1], "r");
    int c;
    if (!f)
        return 1;
    while ((c = getc(f)) != EOF)
        putchar(c);
}
C
cp cat root/bin
# Opens for writing, and writes nothing.
compile writable <<'C'
#include <fcntl.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    puts(open(argv[1], O_WRONLY) >= 0 ? "writable" : "not writable");
}
C
cp writable root/bin
mkdir root/etc
: >root/etc/resolv.conf

roots() { # roots WHO COMMAND...: the prefix makes it run as WHO
    who=$1
    shift
    try "$@" "$guise" run --root "$tmp/root" show x
    is "$who: a root directory" '[show][x] / unset 0' "$out"
    is "$who: no messages" '' "$err"
    try "$@" "$guise" run --root "$tmp/root" --cwd /bin ./show
    is "$who: a directory inside the root" '[./show] /bin unset 0' "$out"
    try "$@" "$guise" run --root "$tmp/root" cat /etc/passwd
    is "$who: the host's files are out of sight" 1 "$status"
    try "$@" "$guise" run --root "$tmp/root" cat /proc/self/comm
    is "$who: /proc is there" cat "$out"
    try "$@" "$guise" run --root "$tmp/root" none
    is "$who: not found in the root" 127 "$status"
    if [ -s /etc/resolv.conf ]; then
        try "$@" "$guise" run --root "$tmp/root" cat /etc/resolv.conf
        is "$who: the host's name servers are shown" "$(cat /etc/resolv.conf)" "$out"
        try "$@" "$guise" run --root "$tmp/root" writable /etc/resolv.conf
        is "$who: and nobody changes them" "not writable" "$out"
    else
        skip "$who: the host's name servers are shown" 'it has none'
    fi
    if is_static; then
        try "$@" "$guise" run --root "$tmp/root" again 3 /bin/again
        is "$who: programs started inside the root" 'child done as 0' "$out"
        try "$@" "$guise" run --root "$tmp/bare" /again 3 /again
        is "$who: also where there is no /proc" 'child done as 0' "$out"
        try "$@" "$guise" run --root "$tmp/root" /enter
        is "$who: also after chroot()" 'child done as 0' "$out"
        try "$@" "$guise" run --root "$tmp/root" /drop
        is "$who: ids that were given up stay given up" '5 5 5 6 6: 7 8 9 vector 5 6 secure 0 back -1 -1' "$out"
    else
        skip "$who: programs started inside the root" 'a build with sanitizers is dynamic'
    fi
}

try unshare -Ur true
if [ "$status" != 0 ] && [ "$(id -u)" != 0 ]; then
    skip 'roots' 'user namespaces are forbidden here'
else
    roots "$(id -un)"
    try "$guise" run --root "$tmp/root" --bind "$tmp/other:/new/place" cat /new/place/file
    is 'bind makes the place' shown "$out"
    try "$guise" run --root "$tmp/root" --bind "$tmp/other/file:/a-file" cat /a-file
    is 'bind of a file' shown "$out"
    try "$guise" run --root "$tmp/root" --bind "$tmp/none:/x" cat /x
    like 'bind of nothing' 'guise: --bind */none*' "$err"
    try "$guise" run --root "$tmp/root" --bind "$tmp/other:x" cat /x
    is 'bind to a relative path' 125 "$status"
    ln -s "$tmp/other" root/out
    try "$guise" run --root "$tmp/root" --bind "$tmp/show:/out/file" cat /out/file
    is 'a link in the root does not lead a bind out of it' shown "$(cat other/file)"
    is 'nothing stays mounted' '' "$(grep "$tmp" /proc/self/mounts)"
fi
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups unshare -Ur true 2>/dev/null; then
    roots 'an ordinary user' setpriv --reuid=65534 --regid=65534 --clear-groups
else
    skip 'roots as an ordinary user' 'not root, or no user namespaces'
fi
try "$guise" run --root no-such-image sh
is 'an image that is not there: 127' 127 "$status"
like 'an image that is not there: what to do' '*guise image pull*' "$err"
try "$guise" run --bind /tmp ./show
like 'bind without root' '*needs --root*' "$err"
finish
