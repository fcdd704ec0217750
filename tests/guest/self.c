/* What a program finds out about itself: the auxiliary vector, the initial stack, /proc/self, riscv_hwprobe.
 * reference: self the values are those of a riscv64 program, and qemu-user 7.2 shows some of its own
 */
#include "test.h"
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>

extern char **environ;
extern char __executable_start[], etext[], edata[], end[];

static char text[1 << 20];

static ssize_t slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    ssize_t total = 0, n;
    while ((n = read(fd, text + total, sizeof text - 1 - (size_t)total)) > 0)
        total += n;
    close(fd);
    text[total] = 0;
    return total;
}

static void test_auxv(char **argv)
{
    char **p = environ;
    while (*p)
        p++;
    const ElfW(auxv_t) *auxv = (const void *)(p + 1);
    unsigned long found = 0;
    bool same = true;
    int count = 0;
    for (; auxv[count].a_type != AT_NULL; count++) {
        if (auxv[count].a_type < 64)
            found |= 1UL << auxv[count].a_type;
        same &= getauxval(auxv[count].a_type) == auxv[count].a_un.a_val;
    }
    OK("getauxval reads the vector on the stack", same);
    static const int wanted[] = {AT_PHDR,   AT_PHENT,  AT_PHNUM,  AT_PAGESZ, AT_BASE,        AT_FLAGS,
                                 AT_ENTRY,  AT_UID,    AT_EUID,   AT_GID,    AT_EGID,        AT_HWCAP,
                                 AT_CLKTCK, AT_SECURE, AT_RANDOM, AT_EXECFN, AT_SYSINFO_EHDR};
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char fact[40];
        snprintf(fact, sizeof fact, "entry %d is there", wanted[i]);
        OK(fact, (found >> wanted[i] & 1) != 0);
    }
    EQ("AT_PAGESZ", getauxval(AT_PAGESZ), 4096);
    EQ("AT_PHENT", getauxval(AT_PHENT), sizeof(ElfW(Phdr)));
    EQ("AT_CLKTCK", getauxval(AT_CLKTCK), 100);
    EQ("AT_UID", getauxval(AT_UID), getuid());
    EQ("AT_SECURE", getauxval(AT_SECURE), 0);
    OK("AT_HWCAP has IMAFDC", (getauxval(AT_HWCAP) & 0x112d) == 0x112d);
    OK("AT_HWCAP has letters only", getauxval(AT_HWCAP) < 1UL << 26);
    OK("AT_ENTRY is _start",
       getauxval(AT_ENTRY) >= (unsigned long)__executable_start && getauxval(AT_ENTRY) < (unsigned long)end);
    OK("AT_PHDR is in the program",
       getauxval(AT_PHDR) > (unsigned long)__executable_start && getauxval(AT_PHDR) < (unsigned long)end);
    const unsigned char *bytes = (const unsigned char *)getauxval(AT_RANDOM);
    int distinct = 0;
    for (int i = 1; i < 16; i++)
        distinct += bytes[i] != bytes[0];
    OK("AT_RANDOM is random", distinct > 5);
    const char *slash = strrchr((const char *)getauxval(AT_EXECFN), '/');
    STR("AT_EXECFN", slash ? slash + 1 : "", "self");
    OK("argv[0]", strstr(argv[0], "self") != NULL);
    OK("argv ends with NULL", argv[1] == NULL);
    EQ("the stack is aligned", (unsigned long)&argv[-1] % 16, 0);
    OK("the environment is ours", getenv("GUEST_TEST") && strcmp(getenv("GUEST_TEST"), "1") == 0);
    const ElfW(Ehdr) *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);
    OK("the vDSO is an ELF file",
       memcmp(vdso->e_ident, ELFMAG, 4) == 0 && vdso->e_machine == EM_RISCV && vdso->e_type == ET_DYN);
    struct utsname u;
    uname(&u);
    STR("uname -m", u.machine, "riscv64");
    ssize_t n = slurp("/proc/self/auxv");
    EQ("/proc/self/auxv: size", n, (count + 1) * (long)sizeof *auxv);
    OK("/proc/self/auxv: contents", n > 0 && memcmp(text, auxv, (size_t)n) == 0);
}

static bool in_maps(const void *address, const char *permissions, const char *name)
{
    for (char *line = text, *next; line && *line; line = next) {
        unsigned long low, high;
        char flags[8] = "", path[512] = "";
        next = strchr(line, '\n');
        if (next)
            next++;
        int fields = sscanf(line, "%lx-%lx %7s %*x %*s %*d%*[ ]%511[^\n]", &low, &high, flags, path);
        if (fields >= 3 && low <= (unsigned long)address && (unsigned long)address < high)
            return (!permissions || strcmp(flags, permissions) == 0) && (!name || strstr(path, name));
    }
    return false;
}

static void test_maps(void)
{
    int local = 0;
    void *anonymous = mmap(NULL, 12288, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mprotect((char *)anonymous + 4096, 4096, PROT_READ | PROT_WRITE);
    void *heap = malloc(100);
    ssize_t n = slurp("/proc/self/maps");
    OK("/proc/self/maps", n > 0);
    OK("code is r-xp of the program", in_maps((void *)(uintptr_t)test_maps, "r-xp", "self"));
    OK("data is rw-p", in_maps(text, "rw-p", NULL));
    OK("the stack", in_maps(&local, "rw-p", "[stack]"));
    OK("the heap", in_maps(heap, "rw-p", "[heap]"));
    OK("the vdso", in_maps((void *)getauxval(AT_SYSINFO_EHDR), NULL, "[vdso]"));
    OK("an anonymous mapping", in_maps(anonymous, "r--p", NULL));
    OK("its changed middle", in_maps((char *)anonymous + 4096, "rw-p", NULL));
    OK("a shared mapping", in_maps(shared, "rw-s", NULL));
    bool below = true, ordered = true;
    unsigned long last = 0;
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        unsigned long low = 0, high = 0;
        sscanf(line, "%lx-%lx", &low, &high);
        below &= high <= 1UL << 38;
        ordered &= low >= last && high > low;
        last = high;
    }
    OK("all of it in the user half", below);
    OK("in order", ordered);
    OK("nothing of the monitor", strstr(text, "guise-interp") == NULL && strstr(text, "/guise\n") == NULL);
    munmap(anonymous, 12288);
    slurp("/proc/self/maps");
    OK("gone after munmap", !in_maps(anonymous, NULL, NULL));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", getpid());
    n = slurp(path);
    OK("also by number", n > 0 && in_maps(&local, "rw-p", "[stack]"));
    n = slurp("/proc/thread-self/maps");
    OK("also by thread", n > 0 && in_maps(&local, "rw-p", "[stack]"));
}

static void test_files(char **argv)
{
    char path[4096] = "";
    struct stat a, b;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    OK("/proc/self/exe", n > 5 && strcmp(strrchr(path, '/'), "/self") == 0);
    OK("the same file", stat("/proc/self/exe", &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino);
    ElfW(Ehdr) header;
    int fd = open("/proc/self/exe", O_RDONLY);
    OK("can be read", read(fd, &header, sizeof header) == sizeof header && header.e_machine == EM_RISCV);
    close(fd);
    snprintf(path, sizeof path, "/proc/%d/exe", getpid());
    char other[4096] = "";
    OK("also by number",
       readlink(path, other, sizeof other - 1) == n && strcmp(strrchr(other, '/'), "/self") == 0);
    n = slurp("/proc/self/cmdline");
    EQ("/proc/self/cmdline: size", n, (long)strlen(argv[0]) + 1);
    STR("/proc/self/cmdline", text, argv[0]);
    slurp("/proc/self/comm");
    STR("/proc/self/comm", text, "self\n");
    n = slurp("/proc/self/environ");
    OK("/proc/self/environ", n > 0 && memmem(text, (size_t)n, "GUEST_TEST=1", 13) != NULL);
    slurp("/proc/self/stat");
    char name[64];
    int pid = 0;
    OK("/proc/self/stat",
       sscanf(text, "%d (%63[^)])", &pid, name) == 2 && pid == getpid() && strcmp(name, "self") == 0);
    slurp("/proc/self/status");
    OK("/proc/self/status", strstr(text, "Name:\tself\n") != NULL && strstr(text, "\nThreads:\t1\n") != NULL);
    OK("/proc/self/fd", readlink("/proc/self/fd/0", path, sizeof path - 1) > 0);
    slurp("/proc/cpuinfo");
    OK("/proc/cpuinfo shows harts",
       strstr(text, "hart\t") != NULL && strstr(text, "rv64ima") != NULL && !strstr(text, "GenuineIntel"));
}

static void test_hwprobe(void)
{
    struct pair {
        int64_t key;
        uint64_t value;
    } pairs[] = {{0, 9}, {1, 9}, {2, 9}, {3, 0}, {4, 0}, {5, 0}, {99999, 7}};
    EQ("riscv_hwprobe", syscall(258, pairs, 7, 0, NULL, 0), 0);
    EQ("base behaviour: IMA", pairs[3].value & 1, 1);
    EQ("extensions: FD and C", pairs[4].value & 3, 3);
    OK("misaligned access is known", (pairs[5].value & 7) <= 4);
    OK("an unknown key", pairs[6].key == -1 && pairs[6].value == 0);
    ERR("bad flags", syscall(258, pairs, 1, 0, NULL, 0x80), EINVAL);
    ERR("bad pointer", syscall(258, (void *)64, 1, 0, NULL, 0), EFAULT);
    unsigned long none = 0;
    ERR("a set without cpus", syscall(258, pairs, 1, 8, &none, 0), EINVAL);
    ERR("a set that is not there", syscall(258, pairs, 1, 8, NULL, 0), EFAULT);
}

/* The host's numbers have 32 bits, riscv64's all 64. */
static void test_numbers(void)
{
    static const long numbers[] = {-1,         1023,
                                   INT32_MAX,  INT32_MIN,
                                   UINT32_MAX, INT64_MAX,
                                   INT64_MIN,  (1L << 32) + SYS_getpid,
                                   -4096,      SYS_getpid - (1L << 32),
                                   463,        0x0badc0ffee};
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char fact[48];
        snprintf(fact, sizeof fact, "system call %#lx", (unsigned long)numbers[i]);
        ERR(fact, syscall(numbers[i], -1L, -1L, -1L, -1L, -1L, -1L), ENOSYS);
    }
}

static void *show_name(void *arg)
{
    char path[64];
    pthread_setname_np(pthread_self(), "second");
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", gettid());
    slurp(path);
    *(bool *)arg = strcmp(text, "second\n") == 0;
    slurp("/proc/self/comm");
    *(bool *)arg &= strcmp(text, "self\n") == 0;
    return NULL;
}

int main(int argc, char **argv)
{
    EQ("argc", argc, 1);
    test_auxv(argv);
    test_maps();
    test_files(argv);
    test_hwprobe();
    test_numbers();
    pthread_t thread;
    bool named = false;
    pthread_create(&thread, NULL, show_name, &named);
    pthread_join(thread, NULL);
    OK("a thread's own name", named);
    return test_end();
}
