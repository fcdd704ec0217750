/* What makes hot loops quicker is no thread of the program's.
 *
 * reference: self qemu has threads of its own
 * not under: thread, whose run time has one of its own
 */
#include "hot.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>

static char text[8192];

static void slurp(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    close(fd);
}

static int listed_threads(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/task");
    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static int status_threads(const char *path)
{
    int count = 0;
    slurp(path);
    const char *line = strstr(text, "\nThreads:\t");
    return line && sscanf(line, "\nThreads: %d", &count) == 1 ? count : -1;
}

static int stat_threads(void)
{
    slurp("/proc/self/stat");
    const char *field = strrchr(text, ')');
    for (int i = 2; field && i < 20; i++)
        field = strchr(field + 1, ' ');
    return field ? atoi(field) : -1;
}

static bool right_heat = true;

static bool shows_threads(int count)
{
    bool right = true;
    for (int i = 0; i < 30; i++) {
        right_heat &= heat(1);
        right &= listed_threads() == count;
        right_heat &= heat(1);
        right &= status_threads("/proc/self/status") == count && stat_threads() == count;
        right_heat &= heat(1);
        right &= status_threads("/proc/thread-self/status") == count;
    }
    return right;
}

static pthread_barrier_t barrier;

static void *stay(void *unused)
{
    pthread_barrier_wait(&barrier);
    return unused;
}

static void test_shown(void)
{
    OK("one thread is shown", shows_threads(1));
    pthread_t threads[2];
    pthread_barrier_init(&barrier, NULL, 3);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, stay, NULL);
    OK("three threads are shown", shows_threads(3));
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    OK("loops are right", right_heat);
}

/* ---- Calls for a process of one thread ---- */

static const int namespaces[] = {CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWNS, CLONE_FS,
                                 CLONE_FILES,   CLONE_VM | CLONE_SIGHAND,    CLONE_THREAD};

static int unshare_after(unsigned loops, int flags)
{
    pid_t pid = (pid_t)MUST(fork());
    if (pid == 0) {
        bool right = heat(loops);
        int error = unshare(flags) ? errno : 0;
        _exit(right & heat(loops) ? error : 255);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return shell_status(status);
}

static void test_unshare(void)
{
    for (unsigned i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
        bool same = true;
        int cold = unshare_after(0, namespaces[i]);
        for (unsigned k = 1; k <= 10; k++)
            same &= unshare_after(k, namespaces[i]) == cold;
        OK("unshare as when nothing was hot", same && cold != EINVAL);
    }
    right_heat &= heat(2);
    EQ("setresuid", setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1), 0);
    EQ("setresgid", setresgid((gid_t)-1, (gid_t)-1, (gid_t)-1), 0);
}

/* ---- Limits ---- */

static void fork_at_limit(void)
{
    const uid_t nobody_else = 100000 + (uid_t)getpid(); /* whose other processes count, too */
    const struct rlimit two = {2, 2};
    if (setresgid(nobody_else, nobody_else, nobody_else) || setresuid(nobody_else, nobody_else, nobody_else))
        _exit(2); /* not for us to do here */
    bool right = setrlimit(RLIMIT_NPROC, &two) == 0;
    for (int i = 0; i < 20 && right; i++) {
        right = heat(1);
        pid_t pid = fork();
        if (pid == 0)
            _exit(heat(1) ? 0 : 1);
        int status = -1;
        waitpid(pid, &status, 0);
        right &= pid > 0 && status == 0;
    }
    _exit(right ? 0 : 1);
}

static void test_limit(void)
{
    OK("a limit of two processes is enough for two", shell_status(in_child(fork_at_limit)) != 1);
}

int main(void)
{
    test_shown();
    test_unshare();
    test_limit();
    OK("all loops were right", right_heat);
    return test_end();
}
