/* System calls that few programs make: keys, other processes' memory, file handles, memory locks, hard links, ...
 * reference: native the host's own kernel is the judge, and qemu-user 7.2 knows few of them
 */
#include "test.h"
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/uio.h>

/* The same on every machine; libc's headers may be older. */
enum {
    NR_KEY_UNLINK = 9,
    NR_KEY_READ = 11,
    NR_CACHESTAT = 451,
    NR_FCHMODAT2 = 452,
    NR_MSEAL = 462,
};

/* Calls that a kernel may lack: the errno instead of the fact, and the reference says the same. */
static bool there(const char *what, long result)
{
    if (result != -1 || (errno != ENOSYS && errno != EPERM && errno != EOPNOTSUPP))
        return true;
    say("%s: not here", what);
    return false;
}

static void test_keys(void)
{
    char text[16] = "";
    const int process_keyring = -2;
    long key = syscall(SYS_add_key, "user", "guest-test", "secret", 6, process_keyring);
    if (!there("add_key", key))
        return;
    OK("add_key", key > 0);
    EQ("request_key", syscall(SYS_request_key, "user", "guest-test", NULL, 0), key);
    EQ("read", syscall(SYS_keyctl, NR_KEY_READ, key, text, sizeof text), 6);
    STR("what was put in", text, "secret");
    ERR("read to nowhere", syscall(SYS_keyctl, NR_KEY_READ, key, (char *)8, 6), EFAULT);
    EQ("unlink", syscall(SYS_keyctl, NR_KEY_UNLINK, key, process_keyring), 0);
    ERR("unknown operation", syscall(SYS_keyctl, 9999, 0, 0, 0, 0), EOPNOTSUPP);
    ERR("unknown type", syscall(SYS_add_key, "nonsense", "x", "y", 1, process_keyring), ENODEV);
    ERR("no description", syscall(SYS_add_key, "user", (char *)8, "y", 1, process_keyring), EFAULT);
}

static void test_other_memory(void)
{
    static char text[] = "peek";
    char copy[8] = "";
    int tube[2];
    struct iovec local = {copy, 4}, remote = {text, 4}, nowhere = {(void *)-8, 4};
    EQ("process_vm_readv of oneself", process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 4);
    STR("what was there", copy, "peek");
    ERR("of nowhere", process_vm_readv(getpid(), &local, 1, &nowhere, 1, 0), EFAULT);
    ERR("bad flags", process_vm_readv(getpid(), &local, 1, &remote, 1, 1), EINVAL);
    MUST(pipe(tube));
    pid_t child = fork();
    if (child == 0) {
        memcpy(text, "boo!", 4);
        while (text[0] == 'b')
            sleep_ms(1);
        _exit(text[0]);
    }
    do
        process_vm_readv(child, &local, 1, &remote, 1, 0);
    while (copy[0] != 'b');
    STR("of a child", copy, "boo!");
    memcpy(copy, "done", 4);
    EQ("process_vm_writev", process_vm_writev(child, &local, 1, &remote, 1, 0), 4);
    int status = -1;
    waitpid(child, &status, 0);
    EQ("the child has it", shell_status(status), 'd');
    ERR("of no process", process_vm_readv(0x3ffffff, &local, 1, &remote, 1, 0), ESRCH);
}

static void test_compare(void)
{
    int same = dup(1), other = open("/", O_RDONLY);
    if (!there("kcmp", syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0)))
        return;
    EQ("kcmp: memory", syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0), 0);
    EQ("the same file", syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 1, same), 0);
    OK("another file", syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 1, other) > 0);
    ERR("no file", syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 1, 999), EBADF);
    close(same);
    close(other);
}

static void test_files(void)
{
    struct stat st;
    int fd = (int)MUST(open("calls-a", O_CREAT | O_RDWR, 0644));
    EQ("linkat", linkat(AT_FDCWD, "calls-a", AT_FDCWD, "calls-b", 0), 0);
    EQ("two names", stat("calls-b", &st) == 0 ? (long)st.st_nlink : -1, 2);
    ERR("again", linkat(AT_FDCWD, "calls-a", AT_FDCWD, "calls-b", 0), EEXIST);
    unlink("calls-b");
    struct f_owner_ex owner = {F_OWNER_PID, getpid()}, got = {0};
    EQ("F_SETOWN_EX", fcntl(fd, F_SETOWN_EX, &owner), 0);
    EQ("F_GETOWN_EX", fcntl(fd, F_GETOWN_EX, &got), 0);
    OK("the owner", got.type == F_OWNER_PID && got.pid == getpid());
    ERR("F_SETOWN_EX from nowhere", fcntl(fd, F_SETOWN_EX, (void *)8), EFAULT);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    EQ("F_OFD_SETLK", fcntl(fd, F_OFD_SETLK, &lock), 0);
    int second = (int)MUST(open("calls-a", O_RDWR));
    ERR("by another description", fcntl(second, F_OFD_SETLK, &lock), EAGAIN);
    EQ("F_OFD_GETLK", fcntl(second, F_OFD_GETLK, &lock), 0);
    OK("who holds it", lock.l_type == F_WRLCK && lock.l_pid == -1 && lock.l_len == 10);
    ERR("unknown command", fcntl(fd, 9999, 0), EINVAL);
    long result = syscall(NR_FCHMODAT2, AT_FDCWD, "calls-a", 0600, AT_SYMLINK_NOFOLLOW);
    if (there("fchmodat2", result))
        EQ("fchmodat2", result == 0 && stat("calls-a", &st) == 0 ? (long)(st.st_mode & 0777) : -1, 0600);
    uint64_t range[2] = {0, 4096}, counts[5];
    if (there("cachestat", syscall(NR_CACHESTAT, fd, range, counts, 0)))
        ERR("cachestat from nowhere", syscall(NR_CACHESTAT, fd, (void *)8, counts, 0), EFAULT);
    struct {
        struct file_handle handle;
        char room[128];
    } h = {.handle.handle_bytes = 128};
    int mount;
    if (there("name_to_handle_at", name_to_handle_at(AT_FDCWD, "calls-a", &h.handle, &mount, 0))) {
        OK("name_to_handle_at", h.handle.handle_bytes > 0 && h.handle.handle_bytes < 128);
        h.handle.handle_bytes = 1;
        ERR("no room", name_to_handle_at(AT_FDCWD, "calls-a", &h.handle, &mount, 0), EOVERFLOW);
    }
    close(second);
    close(fd);
    unlink("calls-a");
}

static long locked_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        sscanf(line, "VmLck: %ld", &kb);
    if (status)
        fclose(status);
    return kb;
}

static void test_memory_locks(void)
{
    setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){256 << 20, 256 << 20});
    ERR("mlockall: no flags", mlockall(0), EINVAL);
    ERR("mlockall: bad flags", mlockall(64), EINVAL);
    ERR("mlockall: MCL_ONFAULT alone", mlockall(MCL_ONFAULT), EINVAL);
    struct rlimit limit;
    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (geteuid() != 0 && limit.rlim_cur < 256 << 20) {
        say("RLIMIT_MEMLOCK is too small for more");
        return;
    }
    EQ("mlockall", mlockall(MCL_CURRENT), 0);
    long all = locked_kb();
    OK("is locked", all > 100);
    EQ("mlockall of what comes", mlockall(MCL_FUTURE), 0);
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char resident[256] = {0};
    EQ("mincore", mincore(p, 1 << 20, resident), 0);
    OK("is there already", resident[0] & resident[255] & 1);
    EQ("munlockall", munlockall(), 0);
    EQ("nothing is locked", locked_kb(), 0);
    p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK("what comes is not", p != MAP_FAILED && locked_kb() == 0);
}

static void test_futexes(void)
{
    uint32_t word = 0;
    EQ("FUTEX_LOCK_PI", syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    EQ("its owner", word & FUTEX_TID_MASK, gettid());
    ERR("twice", syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    EQ("FUTEX_UNLOCK_PI", syscall(SYS_futex, &word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    EQ("free", word, 0);
    ERR("of nobody", syscall(SYS_futex, &word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    ERR("misaligned", syscall(SYS_futex, (char *)&word + 1, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
    ERR("unknown operation", syscall(SYS_futex, &word, 99, 1, NULL, NULL, 0), ENOSYS);
}

static void test_rest(void)
{
    EQ("personality", personality(0xffffffff), 0);
    EQ("ioprio_set", syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 5), 0);
    EQ("ioprio_get", syscall(SYS_ioprio_get, 1, 0), 2 << 13 | 5);
    long result = syscall(NR_MSEAL, 0, 0, 1);
    if (there("mseal", result))
        ERR("mseal: bad flags", syscall(NR_MSEAL, 0, 0, 1), EINVAL);
}

int main(void)
{
    MUST(chdir(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp"));
    test_keys();
    test_other_memory();
    test_compare();
    test_files();
    test_memory_locks();
    test_futexes();
    test_rest();
    return test_end();
}
