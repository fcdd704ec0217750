/* The corners of execve() and execveat(): names, descriptors, scripts, errors, and what crosses it.
 * reference: native qemu-user 7.2 cannot exec guest programs
 */
#include "test.h"
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

extern char **environ;
static char self[4096];
static char *const small_environment[] = {"SHOW=1", NULL};

/* What this program is when it is started again: it says how. Temporary directories are cut off names. */
static int show(int argc, char **argv)
{
    char line[600] = "  ";
    size_t n = 2;
    for (int i = 0; i < argc && n < sizeof line; i++) {
        const char *text = strcmp(argv[i], self) == 0 ? "(self)" : argv[i];
        n += (size_t)snprintf(line + n, sizeof line - n, "[%.40s]", text);
    }
    const char *name = (const char *)getauxval(AT_EXECFN);
    const char *slash = strrchr(name, '/');
    bool numbered = strncmp(name, "/dev/fd/", 8) == 0;
    snprintf(line + n, sizeof line - n, " execfn %s", numbered ? name : slash ? slash + 1 : name);
    say("%s", line);
    return 3;
}

/* Runs `statement`, which executes, in a child and says how the child ended: exit status 100 + errno if it failed. */
#define RUN(what, ...)                                    \
    do {                                                  \
        pid_t child_ = (pid_t)MUST(fork());               \
        if (child_ == 0) {                                \
            __VA_ARGS__;                                  \
            _exit(errno > 100 ? 99 : 100 + errno);        \
        }                                                 \
        int status_;                                      \
        waitpid(child_, &status_, 0);                     \
        int code_ = shell_status(status_);                \
        if (code_ >= 100 && code_ < 200)                  \
            say("%s: %s", what, errno_name(code_ - 100)); \
        else                                              \
            say("%s: status %d", what, code_);            \
    } while (0)

static void put_file(const char *name, const char *text, size_t length, mode_t mode)
{
    unlink(name);
    int fd = (int)MUST(open(name, O_CREAT | O_WRONLY | O_TRUNC, 0700));
    if (write(fd, text, length) != (ssize_t)length)
        say("BAD write");
    fchmod(fd, mode);
    close(fd);
}

static void put_script(const char *name, const char *format, const char *first, const char *rest)
{
    char text[8192];
    int length = snprintf(text, sizeof text, format, first, rest);
    put_file(name, text, (size_t)length, 0755);
}

static void copy_self(int to)
{
    char block[65536];
    int from = open(self, O_RDONLY);
    ssize_t n;
    while ((n = read(from, block, sizeof block)) > 0)
        if (write(to, block, (size_t)n) != n)
            say("BAD write");
    close(from);
}

static void test_names(void)
{
    RUN("plain", execle(self, "a", "x y", "", (char *)NULL, small_environment));
    RUN("relative", execle("link", "a", (char *)NULL, small_environment));
    RUN("dot", execle("./link", "a", (char *)NULL, small_environment));
    RUN("/proc/self/exe", execle("/proc/self/exe", "a", (char *)NULL, small_environment));
    RUN("no argv", syscall(SYS_execve, self, NULL, small_environment));
    RUN("empty argv", syscall(SYS_execve, self, (char *[]){NULL}, small_environment));
    RUN("no name", execl("", "a", (char *)NULL));
    RUN("bad name", syscall(SYS_execve, 8, NULL, small_environment));
    RUN("bad argv", syscall(SYS_execve, self, 8, small_environment));
    RUN("bad argument", syscall(SYS_execve, self, (char *[]){(char *)8, NULL}, small_environment));
    RUN("bad environment", syscall(SYS_execve, self, NULL, 8));
    RUN("bad variable", syscall(SYS_execve, self, NULL, (char *[]){(char *)8, NULL}));
}

static void test_descriptors(void)
{
    char *const argv[] = {"a", "b", NULL};
    int program = (int)MUST(open(self, O_RDONLY | O_CLOEXEC));
    RUN("fexecve", dup2(program, 70), fcntl(70, F_SETFD, FD_CLOEXEC), fexecve(70, argv, small_environment));
    RUN("fexecve of O_PATH", dup2(open(self, O_PATH), 70), fexecve(70, argv, small_environment));
    int directory = (int)MUST(open(".", O_RDONLY));
    MUST(dup2(directory, 71));
    RUN("execveat", syscall(SYS_execveat, 71, "link", argv, small_environment, 0));
    RUN("execveat, absolute", syscall(SYS_execveat, 71, self, argv, small_environment, 0));
    RUN("execveat, no link", syscall(SYS_execveat, 71, "link", argv, small_environment, AT_SYMLINK_NOFOLLOW));
    RUN("execveat, bad flag", syscall(SYS_execveat, 71, "link", argv, small_environment, 1));
    RUN("execveat, no name", syscall(SYS_execveat, 71, "", argv, small_environment, 0));
    RUN("execveat, of a directory", syscall(SYS_execveat, 71, "", argv, small_environment, AT_EMPTY_PATH));
    RUN("execveat, bad descriptor", syscall(SYS_execveat, 99, "x", argv, small_environment, 0));
    RUN("execveat, of a file", syscall(SYS_execveat, program, "x", argv, small_environment, 0));
    int memory = memfd_create("program", MFD_CLOEXEC);
    copy_self(memory);
    RUN("memfd", dup2(memory, 70), fcntl(70, F_SETFD, FD_CLOEXEC), fexecve(70, argv, small_environment));
    close(memory);
    close(program);
    close(directory);
}

static void test_scripts(void)
{
    char *const argv[] = {"a", "b", NULL};
    put_script("one", "#!%s\n%s", self, "rest");
    RUN("script", execle("./one", "a", "b", "c", (char *)NULL, small_environment));
    RUN("script, no argv", syscall(SYS_execve, "./one", NULL, small_environment));
    put_script("two", "#! \t%s  arg one \t\n%s", self, "rest");
    RUN("script with an argument", execle("./two", "a", "b", (char *)NULL, small_environment));
    put_script("three", "#!%s%s", "./one", " foo");
    RUN("script of a script, no newline", execle("./three", "a", "b", (char *)NULL, small_environment));
    put_script("lost", "#!%s\n%s", "/nonexistent/x", "");
    RUN("no interpreter", execl("./lost", "a", (char *)NULL));
    put_script("bare", "#!%s\n%s", "  ", "");
    RUN("none named", execl("./bare", "a", (char *)NULL));
    put_script("depth1", "#!%s\n%s", "./one", "");
    for (int i = 2; i < 8; i++) {
        char name[16], text[32];
        snprintf(name, sizeof name, "depth%d", i);
        snprintf(text, sizeof text, "./depth%d", i - 1);
        put_script(name, "#!%s\n%s", text, "");
    }
    RUN("four scripts", execle("./depth3", "a", (char *)NULL, small_environment));
    RUN("five", execle("./depth4", "a", (char *)NULL, small_environment));
    RUN("six", execle("./depth5", "a", (char *)NULL, small_environment));
    char long_name[3001];
    memset(long_name, 'x', 3000);
    long_name[0] = '/';
    long_name[3000] = 0;
    put_script("long", "#!%s\n%s", long_name, "");
    RUN("a name that is too long", execl("./long", "a", (char *)NULL));
    RUN("fexecve of a script", dup2(open("one", O_RDONLY), 72), fexecve(72, argv, small_environment));
    RUN("that is closed", dup2(open("one", O_RDONLY), 72), fcntl(72, F_SETFD, FD_CLOEXEC),
        fexecve(72, argv, small_environment));
    RUN("execveat of a script", syscall(SYS_execveat, 71, "one", argv, small_environment, 0));
}

static void test_files(void)
{
    static const char head[] = "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\363\0\1\0\0\0";
    put_file("head", head, sizeof head - 1, 0755);
    RUN("half a header", execl("./head", "a", (char *)NULL));
    int fd = (int)MUST(open("busy", O_CREAT | O_RDWR, 0755));
    copy_self(fd);
    RUN("being written", execl("./busy", "a", (char *)NULL));
    close(fd);
    RUN("no longer", execle("./busy", "a", (char *)NULL, small_environment));
    MUST(truncate("busy", 5000));
    pid_t child = fork();
    if (child == 0) {
        close(2); /* whoever finds out late may say so */
        execle("./busy", "a", (char *)NULL, small_environment);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    OK("truncated: does not run", status != 0 && shell_status(status) != 3);
}

static void test_sizes(void)
{
    enum { COUNT = 100000 };
    static char *many[COUNT + 1], *few[201];
    for (int i = 0; i < COUNT; i++)
        many[i] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    RUN("too much", execve(self, many, small_environment));
    RUN("too much environment", execve(self, (char *[]){"a", NULL}, many));
    few[0] = small_environment[0];
    for (int i = 1; i < 200; i++)
        few[i] = many[i];
    RUN("a small stack", setrlimit(RLIMIT_STACK, &(struct rlimit){1 << 20, RLIM_INFINITY}),
        execve(self, (char *[]){"a", NULL}, few));
}

static void *execute(void *arg)
{
    syscall(SYS_execve, arg, (char *[]){"a", NULL}, small_environment);
    return NULL;
}

/* Several threads try, some of them in vain: one program comes of it. */
static void race(void)
{
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, execute, i % 2 ? self : "/nonexistent");
    for (;;)
        pause();
}

static void test_race(void)
{
    int right = 0;
    for (int i = 0; i < 10; i++)
        right += shell_status(in_child(race)) == 3;
    EQ("threads that execute at once", right, 10);
}

int main(int argc, char **argv)
{
    char directory[64];
    if (getenv("SHOW") || argc == 0) {
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n > 0 ? n : 0] = 0;
        return show(argc, argv);
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n] = 0;
    snprintf(directory, sizeof directory, "%.40s/exec", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    MUST(mkdir(directory, 0755));
    MUST(chdir(directory));
    MUST(symlink(self, "link"));
    test_names();
    test_descriptors();
    test_scripts();
    test_files();
    test_sizes();
    test_race();
    return test_end();
}
