/* fork, vfork, clone, exec, posix_spawn and what crosses them.
 * reference: native qemu-user 7.2 cannot exec guest programs, and posix_spawn of a missing file succeeds there
 */
#include "test.h"
#include <linux/sched.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

extern char **environ;
static char self[4096];
static int tube[2];

/* The roles that this program plays when it is started again. */
static int role(int argc, char **argv)
{
    const char *name = argv[1];
    if (strcmp(name, "exit") == 0)
        return atoi(argv[2]);
    if (strcmp(name, "show") == 0) {
        for (int i = 0; i < argc; i++)
            say("  argv[%d]=%s", i, i == 0 && strcmp(argv[0], self) == 0 ? "(self)" : argv[i]);
        for (char **e = environ; *e; e++)
            if (strncmp(*e, "SHOW", 4) == 0)
                say("  %s", *e);
        return 0;
    }
    if (strcmp(name, "fd") == 0)
        return fcntl(atoi(argv[2]), F_GETFD) >= 0;
    if (strcmp(name, "mask") == 0) {
        sigset_t set;
        struct sigaction one, two;
        sigprocmask(SIG_BLOCK, NULL, &set);
        sigaction(SIGUSR1, NULL, &one);
        sigaction(SIGUSR2, NULL, &two);
        stack_t stack;
        sigaltstack(NULL, &stack);
        return sigismember(&set, SIGHUP) * 16 + (one.sa_handler == SIG_DFL) * 8 +
               (two.sa_handler == SIG_IGN) * 4 + (stack.ss_flags == SS_DISABLE) * 2 + 1;
    }
    if (strcmp(name, "kill") == 0)
        raise(atoi(argv[2]));
    if (strcmp(name, "pid") == 0)
        return getpid() == atoi(argv[2]) && gettid() == getpid();
    if (strcmp(name, "threads") == 0)
        return (int)sysconf(_SC_PAGESIZE) == 4096;
    if (strcmp(name, "empty") == 0)
        return environ[0] == NULL ? 5 : 6;
    return 99;
}

static int run_self(char *const argv[], char *const environment[])
{
    pid_t child = fork();
    if (child == 0) {
        execve(self, argv, environment);
        _exit(errno);
    }
    int status;
    waitpid(child, &status, 0);
    return shell_status(status);
}

#define RUN(...) run_self((char *[]){self, __VA_ARGS__, NULL}, environ)

static void test_fork(void)
{
    int value = 1;
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        value = 2;
        shared[0] = 3;
        _exit(getpid() != getppid() && gettid() == getpid() ? 4 : 5);
    }
    int status;
    EQ("wait returns the child", waitpid(child, &status, 0), child);
    EQ("its status", WEXITSTATUS(status), 4);
    EQ("memory is copied", value, 1);
    EQ("shared memory is not", shared[0], 3);
    int fd = (int)MUST(open("seek", O_RDWR | O_CREAT | O_TRUNC, 0600));
    MUST(write(fd, "0123456789", 10));
    lseek(fd, 0, SEEK_SET);
    if (fork() == 0) {
        char c[4];
        _exit(read(fd, c, 4) == 4 ? 0 : 1);
    }
    wait(NULL);
    EQ("file offsets are shared", lseek(fd, 0, SEEK_CUR), 4);
    close(fd);
    int deep = 0;
    child = fork();
    while (child == 0 && deep < 10) {
        deep++;
        child = fork();
    }
    if (deep > 0) {
        if (child == 0)
            _exit(1);
        waitpid(child, &status, 0);
        _exit(WEXITSTATUS(status) + 1);
    }
    waitpid(child, &status, 0);
    EQ("ten generations", WEXITSTATUS(status), 11);
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    child = fork();
    if (child == 0) {
        sigpending(&pending);
        sigprocmask(SIG_BLOCK, NULL, &set);
        _exit(sigismember(&pending, SIGUSR1) * 2 + sigismember(&set, SIGUSR1));
    }
    waitpid(child, &status, 0);
    EQ("the mask is inherited, pending signals are not", WEXITSTATUS(status), 1);
    signal(SIGUSR1, SIG_IGN);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGUSR1, SIG_DFL);
}

static volatile int vforked;

static void test_vfork(void)
{
    pid_t child = vfork();
    if (child == 0) {
        vforked = 1;
        _exit(6);
    }
    int status;
    waitpid(child, &status, 0);
    EQ("vfork and _exit", WEXITSTATUS(status), 6);
    vforked = 0;
    child = vfork();
    if (child == 0) {
        execl(self, self, "exit", "17", (char *)NULL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    EQ("vfork and exec", WEXITSTATUS(status), 17);
    child = vfork();
    if (child == 0) {
        execl("/no/such/file", "x", (char *)NULL);
        _exit(errno);
    }
    waitpid(child, &status, 0);
    EQ("vfork and a failed exec", WEXITSTATUS(status), ENOENT);
}

static int clone_body(void *arg)
{
    *(int *)arg += 1;
    return 12;
}

static void test_clone(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    int value = 1, status;
    pid_t child = clone(clone_body, stack + sizeof stack, SIGCHLD, &value);
    waitpid(child, &status, 0);
    EQ("clone: status", WEXITSTATUS(status), 12);
    EQ("clone: memory is copied", value, 1);
    pid_t parent_tid = 0, child_tid = 0;
    child = (pid_t)clone(clone_body, stack + sizeof stack, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD,
                         &value, &parent_tid, NULL, &child_tid);
    EQ("CLONE_PARENT_SETTID", parent_tid, child);
    waitpid(child, &status, 0);
    int pidfd = -1;
    child = clone(clone_body, stack + sizeof stack, CLONE_PIDFD | SIGCHLD, &value, &pidfd);
    OK("CLONE_PIDFD", pidfd >= 0);
    waitpid(child, &status, 0);
    close(pidfd);
    child = clone(clone_body, stack + sizeof stack, 0, &value);
    ERR("no exit signal: not seen by wait", waitpid(child, &status, 0), ECHILD);
    EQ("but by __WCLONE", waitpid(child, &status, __WCLONE), child);
    ERR("CLONE_THREAD needs CLONE_SIGHAND",
        clone(clone_body, stack + sizeof stack, CLONE_THREAD | CLONE_VM, &value), EINVAL);
    ERR("CLONE_SIGHAND needs CLONE_VM",
        clone(clone_body, stack + sizeof stack, CLONE_SIGHAND | SIGCHLD, &value), EINVAL);

    struct clone_args args = {.exit_signal = SIGCHLD};
    child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child == 0)
        _exit(31);
    waitpid(child, &status, 0);
    EQ("clone3", WEXITSTATUS(status), 31);
    ERR("clone3: bad size", syscall(SYS_clone3, &args, 8), EINVAL);
    args.exit_signal = 200;
    ERR("clone3: bad exit signal", syscall(SYS_clone3, &args, sizeof args), EINVAL);
}

static void test_exec(void)
{
    EQ("status", RUN("exit", "42"), 42);
    EQ("killed", RUN("kill", "15"), 128 + SIGTERM);
    say("arguments:");
    RUN("show", "", "two words", "\xc3\xa9\n'\"$x");
    say("another argv[0] and environment:");
    run_self((char *[]){"other-name", "show", NULL}, (char *[]){"SHOW=1", "SHOW2=a=b", "SHOW_EMPTY=", NULL});
    EQ("empty environment", run_self((char *[]){self, "empty", NULL}, (char *[]){NULL}), 5);
    char *big = malloc(100001);
    memset(big, 'x', 100000);
    big[100000] = 0;
    EQ("a long argument", RUN("exit", "3", big), 3);
    enum { MANY = 5000 };
    char **many = calloc(MANY + 4, sizeof *many);
    many[0] = self, many[1] = "exit", many[2] = "4";
    for (int i = 3; i < MANY; i++)
        many[i] = "argument";
    EQ("5000 arguments", run_self(many, environ), 4);
    char *huge = malloc(200001);
    memset(huge, 'x', 200000);
    huge[200000] = 0;
    EQ("an argument beyond MAX_ARG_STRLEN", RUN("exit", "3", huge), E2BIG);
    int keep = open("/dev/null", O_RDONLY), drop = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char keep_text[16], drop_text[16], pid[16];
    snprintf(keep_text, sizeof keep_text, "%d", keep);
    snprintf(drop_text, sizeof drop_text, "%d", drop);
    EQ("descriptors are inherited", RUN("fd", keep_text), 1);
    EQ("but for CLOEXEC", RUN("fd", drop_text), 0);
    close(keep);
    close(drop);
    pid_t child = fork();
    if (child == 0) {
        static char stack[65536];
        stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_SETMASK, &set, NULL);
        sigaltstack(&alternate, NULL);
        signal(SIGUSR1, (void (*)(int))(uintptr_t)test_fork);
        signal(SIGUSR2, SIG_IGN);
        execl(self, self, "mask", (char *)NULL);
    }
    int status;
    waitpid(child, &status, 0);
    EQ("mask and ignored signals stay, handlers and stack go", WEXITSTATUS(status), 31);
    child = fork();
    if (child == 0) {
        snprintf(pid, sizeof pid, "%d", getpid());
        execl(self, self, "pid", pid, (char *)NULL);
    }
    waitpid(child, &status, 0);
    EQ("the pid stays", WEXITSTATUS(status), 1);
    int fd = open(self, O_RDONLY | O_CLOEXEC);
    child = fork();
    if (child == 0) {
        fexecve(fd, (char *[]){self, "exit", "23", NULL}, environ);
        _exit(errno);
    }
    waitpid(child, &status, 0);
    EQ("fexecve", WEXITSTATUS(status), 23);
    close(fd);
    child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "x", "exit", "24", (char *)NULL);
        _exit(errno);
    }
    waitpid(child, &status, 0);
    EQ("exec of /proc/self/exe", WEXITSTATUS(status), 24);
}

static int exec_file(const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        execl(path, path, "exit", "9", (char *)NULL);
        _exit(errno);
    }
    int status;
    waitpid(child, &status, 0);
    return shell_status(status);
}

static void put_file(const char *name, const char *text, size_t length, mode_t mode)
{
    int fd = (int)MUST(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700));
    MUST(write(fd, text, length));
    fchmod(fd, mode);
    close(fd);
}

static void test_bad_files(void)
{
    EQ("missing", exec_file("missing"), ENOENT);
    put_file("plain", "hello", 5, 0600);
    EQ("not executable", exec_file("./plain"), EACCES);
    EQ("a directory", exec_file("/"), EACCES);
    EQ("below a file", exec_file("plain/x"), ENOTDIR);
    put_file("text", "hello\n", 6, 0700);
    EQ("neither ELF nor script", exec_file("./text"), ENOEXEC);
    put_file("empty", "", 0, 0700);
    EQ("empty", exec_file("./empty"), ENOEXEC);
    put_file("magic", "\177ELF", 4, 0700);
    EQ("only the magic", exec_file("./magic"), ENOEXEC);
    put_file("lost", "#!/no/such/interpreter\n", 23, 0700);
    EQ("script without its interpreter", exec_file("./lost"), ENOENT);
    put_file("bare", "#!\n", 3, 0700);
    EQ("script that names none", exec_file("./bare"), ENOEXEC);
    MUST(symlink("loop", "loop"));
    EQ("a loop of links", exec_file("./loop"), ELOOP);
    char name[300];
    memset(name, 'n', 299);
    name[299] = 0;
    EQ("name too long", exec_file(name), ENAMETOOLONG);
}

static void test_scripts(void)
{
    char text[4300];
    int n = snprintf(text, sizeof text, "#!%s show\nrest\n", self);
    put_file("script", text, (size_t)n, 0700);
    say("script with its path:");
    pid_t child = fork();
    if (child == 0) {
        execl("./script", "ignored", "one", "two", (char *)NULL);
        _exit(errno);
    }
    int status;
    waitpid(child, &status, 0);
    EQ("script: status", shell_status(status), 0);
    n = snprintf(text, sizeof text, "#! ./script  show  with spaces  \n");
    put_file("outer", text, (size_t)n, 0700);
    say("script of a script:");
    child = fork();
    if (child == 0) {
        execl("./outer", "ignored", "three", (char *)NULL);
        _exit(errno);
    }
    waitpid(child, &status, 0);
    EQ("script of a script: status", shell_status(status), 0);
    put_file("ring", "#!./ring\n", 9, 0700);
    EQ("script that runs itself", exec_file("./ring"), ELOOP);
}

static void *exec_from_thread(void *arg)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", getpid());
    execl(self, self, "pid", pid, (char *)NULL);
    return arg;
}

static void *spin(void *arg)
{
    for (;;)
        if (arg)
            sleep_ms(1);
}

static void thread_exec(void)
{
    pthread_t thread;
    for (long i = 0; i < 4; i++)
        pthread_create(&thread, NULL, spin, (void *)(i & 1));
    pthread_create(&thread, NULL, exec_from_thread, NULL);
    for (;;)
        pause();
}

static void *fork_from_thread(void *arg)
{
    int good = 0;
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            free(malloc(1000));
            _exit(gettid() == getpid() ? 7 : 8);
        }
        int status;
        good += waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7;
    }
    *(int *)arg = good;
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[4];
    int good[4];
    EQ("exec from a thread takes over the pid", shell_status(in_child(thread_exec)), 1);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, fork_from_thread, &good[i]);
    int sum = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        sum += good[i];
    }
    EQ("80 forks from 4 threads at once", sum, 80);
}

static void test_spawn(void)
{
    pid_t child = -1;
    int status;
    EQ("posix_spawn of a missing file",
       posix_spawn(&child, "/no/such/file", NULL, NULL, (char *[]){"x", NULL}, environ), ENOENT);
    EQ("posix_spawnp of a missing file",
       posix_spawnp(&child, "no-such-program", NULL, NULL, (char *[]){"x", NULL}, environ), ENOENT);
    EQ("posix_spawn", posix_spawn(&child, self, NULL, NULL, (char *[]){self, "exit", "19", NULL}, environ),
       0);
    waitpid(child, &status, 0);
    EQ("its status", WEXITSTATUS(status), 19);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, tube[1], 1);
    posix_spawn_file_actions_addclose(&actions, tube[0]);
    EQ("posix_spawn with file actions",
       posix_spawn(&child, self, &actions, NULL, (char *[]){"zero", "show", NULL},
                   (char *[]){"SHOW=it", NULL}),
       0);
    waitpid(child, &status, 0);
    char text[200] = "";
    MUST(read(tube[0], text, sizeof text - 1));
    STR("its output", text, "  argv[0]=zero\n  argv[1]=show\n  SHOW=it\n");
    posix_spawnattr_t attr;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&attr, &set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigdefault(&attr, &set);
    signal(SIGUSR2, SIG_IGN);
    EQ("posix_spawn with attributes",
       posix_spawn(&child, self, NULL, &attr, (char *[]){self, "mask", NULL}, environ), 0);
    waitpid(child, &status, 0);
    EQ("mask set, ignored signal defaulted", WEXITSTATUS(status), 27);
    signal(SIGUSR2, SIG_DFL);
    EQ("system()", WEXITSTATUS(system("exit 13")), 13);
    FILE *p = popen("echo hello; cat >/dev/null", "r");
    OK("popen", p && fgets(text, sizeof text, p) && strcmp(text, "hello\n") == 0);
    pclose(p);
}

static void on_exit_signal(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int signal_number = 0;
    prctl(PR_GET_PDEATHSIG, &signal_number);
    _exit(signal_number);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
            return 97;
        return role(argc, argv);
    }
    MUST(readlink("/proc/self/exe", self, sizeof self - 1));
    enter_scratch();
    MUST(pipe(tube));
    test_fork();
    test_vfork();
    test_clone();
    test_exec();
    test_bad_files();
    test_scripts();
    test_threads();
    test_spawn();
    EQ("PR_SET_PDEATHSIG", shell_status(in_child(on_exit_signal)), SIGKILL);
    leave_scratch();
    return test_end();
}
