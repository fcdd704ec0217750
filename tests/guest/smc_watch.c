/* Code that is written without a fence where that can be noticed; pages that hold code and what system calls, other
 * threads, children and changes of the mapping do to them.
 * reference: self it writes riscv64 instructions and checks what they return
 * timeout: 120
 */
#include "test.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/cachectl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define RW  (PROT_READ | PROT_WRITE)
#define RX  (PROT_READ | PROT_EXEC)
#define RWX (RW | PROT_EXEC)
enum { PAGE = 4096, WORDS = PAGE / 4, HOT = 60, ROUNDS = 50 };

static const uint32_t ret = 0x00008067, nop = 0x00000013;
static uint32_t li_a0(int value)
{
    return ((uint32_t)value & 0xfff) << 20 | 0x513;
}

static void *map(size_t count, int protection, int flags, int fd)
{
    void *at = mmap(NULL, count * PAGE, protection, flags, fd, 0);
    MUST(at == MAP_FAILED ? -1 : 0);
    return at;
}

static uint32_t *pages(size_t count)
{
    return map(count, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

static long call(const void *code)
{
    __asm__ volatile("" ::: "memory");
    return ((long (*)(void))(uintptr_t)code)();
}

/* Often enough to be translated. */
static bool returns(const void *code, long wanted)
{
    bool right = true;
    for (int i = 0; i < HOT; i++)
        right &= call(code) == wanted;
    return right;
}

static void put(volatile uint32_t *code, int value)
{
    code[0] = li_a0(value);
    code[1] = ret;
}

/* ---- Nobody says that code has changed ---- */

static void test_unannounced(void)
{
    uint32_t *code = pages(1);
    bool right = true, copied = true;
    for (int i = 0; i < ROUNDS; i++) {
        put(code, i);
        put(code + WORDS - 2, i + 1000);
        right &= returns(code, i) && returns(code + WORDS - 2, i + 1000);
    }
    OK("a hot function is patched without a fence", right);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t text[WORDS];
        for (int j = 0; j < WORDS; j += 2)
            put(text + j, i + j % 7);
        memcpy(code, text, PAGE);
        copied &= returns(code + WORDS / 2, i + WORDS / 2 % 7) && returns(code + 20, i + 20 % 7);
    }
    OK("a page of code is replaced without a fence", copied);
    munmap(code, PAGE);
}

/* By every kind of instruction that stores. */
static void test_stores(void)
{
    uint32_t *code = pages(2), *edge = code + WORDS;
    put(code, 1);
    OK("before", returns(code, 1));
    __atomic_exchange_n(code, li_a0(2), __ATOMIC_SEQ_CST);
    OK("an atomic exchange", returns(code, 2));
    uint32_t seen = li_a0(2);
    OK("a compare and swap",
       __atomic_compare_exchange_n(code, &seen, li_a0(3), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
           returns(code, 3));
    ((uint8_t *)code)[3] = (uint8_t)(li_a0(0x23) >> 24);
    OK("a byte", returns(code, 0x23));
    double both;
    uint32_t two[2] = {li_a0(5), ret};
    memcpy(&both, two, 8);
    *(volatile double *)code = both;
    OK("a double", returns(code, 5));
    put(edge, 6);
    OK("another page", returns(edge, 6));
    uint64_t across = (uint64_t)li_a0(7) << 32 | nop;
    memcpy(edge - 1, &across, 8);
    __asm__ volatile("sd %0, 0(%1)" : : "r"(across), "r"(edge - 1) : "memory");
    OK("a store across the boundary", returns(edge, 7) && returns(edge - 1, 7));
    munmap(code, 2 * PAGE);
}

/* Code and what it writes in one page: right, and at an end in time. */
static void test_mixed(void)
{
    enum { TIMES = 20000 };
    uint32_t *code = pages(1);
    volatile uint64_t *counter = (volatile uint64_t *)(code + 100);
    /* auipc t0, 0; ld a0, 400(t0); addi a0, a0, 1; sd a0, 400(t0); ret */
    const uint32_t text[] = {0x00000297, 0x1902b503, 0x00150513, 0x18a2b823, ret};
    memcpy(code, text, sizeof text);
    long last = 0;
    for (int i = 0; i < TIMES; i++)
        last = call(code);
    EQ("a counter in the page of the code that counts", last, TIMES);
    EQ("as it is in memory", *counter, TIMES);
    code[2] = 0x00250513; /* addi a0, a0, 2 */
    fence_i();
    EQ("that code is still compared at a fence", call(code), TIMES + 2);
    munmap(code, PAGE);
}

/* One page in two is written, so that the host cannot keep them in one piece. */
static void test_many(void)
{
    enum { COUNT = 3000 };
    uint32_t *code = pages(COUNT);
    bool right = true;
    for (int i = 0; i < COUNT; i++)
        put(code + (size_t)i * WORDS, i % 2000);
    for (int i = 0; i < COUNT; i++)
        right &= call(code + (size_t)i * WORDS) == i % 2000;
    for (int i = 0; i < COUNT; i += 2)
        put(code + (size_t)i * WORDS, i % 2000 + 1);
    for (int i = 0; i < COUNT; i++)
        right &= call(code + (size_t)i * WORDS) == i % 2000 + (i % 2 == 0);
    OK("3000 pages, every second one patched", right);
    munmap(code, COUNT * (size_t)PAGE);
}

/* ---- A flush names what was written ---- */

static void test_announced(void)
{
    enum { FUNCTIONS = 32 };
    uint32_t *code = pages(1);
    int now[FUNCTIONS] = {0};
    bool right = true;
    for (int i = 0; i < FUNCTIONS; i++)
        put(code + 2 * i, 0);
    __riscv_flush_icache(code, code + WORDS, 0);
    for (int round = 1; round < 2000; round++) {
        int which = round * 7 % FUNCTIONS;
        now[which] = round;
        put(code + 2 * which, round);
        if (round % 3)
            __riscv_flush_icache(code + 2 * which, code + 2 * which + 2, 0);
        else
            fence_i();
        right &= call(code + 2 * which) == round;
        right &= call(code + 2 * (round % FUNCTIONS)) == now[round % FUNCTIONS];
        for (int quiet = 0; quiet < round % 19; quiet++)
            __riscv_flush_icache(code, code, 0);
    }
    OK("one function of a page is patched at a time", right);
    munmap(code, PAGE);
}

/* ---- Through the kernel ---- */

static uint32_t *target;
static int tube[2], pair[2], value;

typedef ssize_t fill_fn(void *to, size_t size);

static ssize_t by_read(void *to, size_t size)
{
    return read(tube[0], to, size);
}
static ssize_t by_readv(void *to, size_t size)
{
    const struct iovec vector[2] = {{to, 4}, {(char *)to + 4, size - 4}};
    return readv(tube[0], vector, 2);
}
static ssize_t by_recv(void *to, size_t size)
{
    return recv(pair[0], to, size, 0);
}
static ssize_t by_recvmsg(void *to, size_t size)
{
    struct iovec vector = {to, size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    return recvmsg(pair[0], &message, 0);
}
static ssize_t by_vm_write(void *to, size_t size)
{
    static uint32_t buffer[2 * WORDS];
    const struct iovec local = {buffer, size}, remote = {to, size};
    MUST(read(tube[0], buffer, size));
    return process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
}
static ssize_t by_vm_read(void *to, size_t size)
{
    static uint32_t buffer[2 * WORDS];
    const struct iovec local = {to, size}, remote = {buffer, size};
    MUST(read(tube[0], buffer, size));
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}
static ssize_t by_pread(void *to, size_t size)
{
    static uint32_t buffer[2 * WORDS];
    int fd = (int)MUST(syscall(SYS_memfd_create, "code", 0));
    MUST(read(tube[0], buffer, size));
    MUST(write(fd, buffer, size));
    ssize_t got = pread(fd, to, size, 0);
    close(fd);
    return got;
}
static void start_target(void)
{
    for (int i = 0; i < 2 * WORDS; i += 2)
        put(target + i, 0);
}

/* Two pages of hot code are overwritten from the middle of the first to the middle of the second. */
static void test_kernel(const char *what, fill_fn *fill, bool datagram)
{
    bool right = true, whole = true;
    uint32_t text[WORDS];
    target = pages(2);
    start_target();
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < WORDS; j += 2)
            put(text + j, ++value & 0x7ff);
        right &= returns(target + WORDS - 2, call(target + WORDS - 2));
        right &= returns(target + WORDS, call(target + WORDS));
        MUST(write(datagram ? pair[1] : tube[1], text, PAGE));
        whole &= fill(target + WORDS / 2, PAGE) == PAGE;
        fence_i();
        right &= returns(target + WORDS - 2, (value - WORDS / 4) & 0x7ff) &&
                 returns(target + WORDS + WORDS / 2 - 2, value & 0x7ff);
    }
    OK(what, whole);
    OK("and the code", right);
    munmap(target, 2 * PAGE);
}

/* As long as the kernel finds the answer to be: it begins in one page and ends in the next, in front of hot code. */
static void test_measured(void)
{
    enum { SETS = 3000 };
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t size = sizeof name;
    memset(name.sun_path + 1, 'n', 60);
    int fd = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), set = (int)MUST(semget(IPC_PRIVATE, SETS, 0600));
    snprintf(name.sun_path + 1, 20, "%d", getpid());
    MUST(bind(fd, (const struct sockaddr *)&name, sizeof name));
    target = pages(2);
    put(target + 2 * WORDS - 2, 5);
    struct sockaddr_un *seen = (void *)(target + WORDS - 4);
    OK("before", returns(target + 2 * WORDS - 2, 5));
    EQ("getsockname()", getsockname(fd, (struct sockaddr *)seen, &size), 0);
    OK("is whole", size == sizeof name && !memcmp(seen, &name, sizeof name));
    munmap(target, 2 * PAGE);
    target = pages(2);
    put(target + 2 * WORDS - 2, 6);
    memset(target, 1, 2 * SETS);
    OK("before", returns(target + 2 * WORDS - 2, 6));
    EQ("semctl()", semctl(set, 0, GETALL, target), 0);
    EQ("is whole", ((const uint16_t *)target)[SETS - 1], 0);
    OK("and the code is what it was", returns(target + 2 * WORDS - 2, 6));
    munmap(target, 2 * PAGE);
    MUST(semctl(set, 0, IPC_RMID));
    close(fd);
}

/* That a system call has written to an address is forgotten with the memory that was there. */
static void test_filled_before(void)
{
    uint32_t text[2];
    bool right = true;
    target = pages(2);
    put(text, 1);
    MUST(write(tube[1], text, sizeof text));
    MUST(read(tube[0], target, sizeof text));
    MUST(munmap(target, PAGE));
    MUST(mmap(target, PAGE, RWX, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == target ? 0 : -1);
    for (int i = 0; i < ROUNDS; i++) {
        put(target, i);
        right &= returns(target, i);
    }
    OK("code is patched without a fence where another mapping was read into", right);
    MUST(write(tube[1], text, sizeof text));
    MUST(read(tube[0], target, sizeof text));
    MUST(mremap(target + WORDS, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target ? 0 : -1);
    for (int i = 0; i < ROUNDS; i++) {
        put(target, i);
        right &= returns(target, i);
    }
    OK("or where that was moved to", right);
    munmap(target, PAGE);
}

static void *read_late(void *argument)
{
    return (void *)read(tube[0], argument, 2 * sizeof(uint32_t));
}

/* A thread sleeps in read() into a page before any of its code is executed. */
static void test_sleeper(void)
{
    pthread_t thread;
    void *got;
    uint32_t text[2];
    target = pages(2);
    start_target();
    pthread_create(&thread, NULL, read_late, target + 100);
    sleep_ms(20);
    OK("code runs beside the buffer of a sleeping read()", returns(target, 0));
    put(text, 321);
    MUST(write(tube[1], text, sizeof text));
    pthread_join(thread, &got);
    EQ("which is filled", (long)got, sizeof text);
    fence_i();
    OK("and runs", returns(target + 100, 321));
    munmap(target, 2 * PAGE);
}

/* ---- Rights, mappings, children ---- */

static sigjmp_buf out;
static void *fault_address;
static int fault_code;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    fault_address = info->si_addr;
    fault_code = info->si_code;
    siglongjmp(out, 1);
}

static bool store_faults(uint32_t *at)
{
    fault_address = NULL;
    if (sigsetjmp(out, 1) == 0) {
        *(volatile uint32_t *)at = 0;
        return false;
    }
    return fault_address == at && fault_code == SEGV_ACCERR;
}

static void test_rights(void)
{
    uint32_t *code = pages(3), *middle = code + WORDS;
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    bool right = true, faults = true;
    for (int i = 0; i < ROUNDS; i++) {
        put(middle + 1, i);
        right &= returns(middle + 1, i);
        MUST(mprotect(middle, PAGE, i % 2 ? RX : PROT_READ));
        faults &= store_faults(middle + 1);
        MUST(mprotect(code, 3 * PAGE, RWX));
        right &= returns(middle + 1, i);
    }
    OK("a page that loses the right to be written faults", faults);
    OK("and its code is what it was", right);
    MUST(mprotect(middle, PAGE, RW));
    put(middle + 1, 77);
    MUST(mprotect(middle, PAGE, RX));
    OK("written while it could not be executed", returns(middle + 1, 77));
    munmap(code, 3 * PAGE);
}

static void test_mappings(void)
{
    uint32_t *code = pages(4), *place = pages(4);
    bool right = true;
    for (int i = 0; i < ROUNDS; i++) {
        put(code + WORDS, i);
        right &= returns(code + WORDS, i);
        MUST(mremap(code, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place ? 0 : -1);
        right &= returns(place + WORDS, i);
        put(place + WORDS, i + 1);
        right &= returns(place + WORDS, i + 1);
        uint32_t *other = code;
        code = place;
        place = other;
    }
    OK("moved by mremap while hot, then written", right);
    for (int i = 0; i < ROUNDS; i++) {
        put(code + WORDS, i);
        right &= returns(code + WORDS, i);
        MUST(madvise(code, 4 * PAGE, MADV_DONTNEED));
        right &= code[WORDS] == 0;
        MUST(mmap(code + WORDS, PAGE, RWX, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1
                                                                                                         : 0);
        put(code + WORDS, i + 5);
        right &= returns(code + WORDS, i + 5);
    }
    OK("dropped, and mapped anew", right);
    munmap(code, 4 * PAGE);
}

static void test_alias(void)
{
    int fd = (int)MUST(syscall(SYS_memfd_create, "code", 0));
    MUST(ftruncate(fd, PAGE));
    uint32_t *one = map(1, RWX, MAP_SHARED, fd), *two = map(1, RWX, MAP_SHARED, fd),
             *own = map(1, RWX, MAP_PRIVATE, fd);
    bool right = true;
    for (int i = 0; i < ROUNDS; i++) {
        put(i % 2 ? one : two, i);
        fence_i();
        right &= returns(one, i) && returns(two, i) && returns(own, i);
    }
    OK("written and run through two mappings, and seen in a private one", right);
    put(own, 500);
    fence_i();
    OK("until that is written to", returns(own, 500) && returns(one, ROUNDS - 1));
    munmap(one, PAGE), munmap(two, PAGE), munmap(own, PAGE);
    close(fd);
}

static int child_of(int (*function)(uint32_t *), uint32_t *code)
{
    int status;
    pid_t child = (pid_t)MUST(fork());
    if (child == 0)
        _exit(function(code));
    MUST(waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int change_twice(uint32_t *code)
{
    bool right = returns(code, 1);
    put(code, 2);
    right &= returns(code, 2);
    put(code, 3);
    __riscv_flush_icache(code, code + 2, 0);
    return right && returns(code, 3);
}

static int look_wiped(uint32_t *code)
{
    bool wiped = code[0] == 0;
    put(code, 4);
    fence_i();
    return wiped && returns(code, 4);
}

static void test_children(void)
{
    uint32_t *code = pages(1);
    put(code, 1);
    OK("hot before fork()", returns(code, 1));
    EQ("a child changes its own", child_of(change_twice, code), 1);
    OK("and not the parent's", returns(code, 1));
    put(code, 9);
    OK("which changes too", returns(code, 9));
    MUST(madvise(code, PAGE, MADV_WIPEONFORK));
    EQ("a page that is empty in the child", child_of(look_wiped, code), 1);
    OK("and is not in the parent", returns(code, 9));
    munmap(code, PAGE);
}

static void test_maps(void)
{
    uint32_t *code = pages(16);
    char wanted[64], line[512];
    int lines = 0, inside = 0;
    for (int i = 1; i < 16; i += 2) {
        put(code + i * WORDS, i);
        OK("hot", returns(code + i * WORDS, i));
    }
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start = strtoul(line, NULL, 16);
        snprintf(wanted, sizeof wanted, "%08lx-%08lx rwxp", start, (unsigned long)(code + 16 * WORDS));
        inside += start > (unsigned long)code && start < (unsigned long)(code + 16 * WORDS);
        lines += start <= (unsigned long)code && !strncmp(line, wanted, strlen(wanted));
    }
    if (maps)
        fclose(maps);
    OK("/proc/self/maps shows it as one mapping", lines == 1 && inside == 0);
    munmap(code, 16 * PAGE);
}

/* ---- Threads write to one page, each its own function, and run it ---- */

enum { WRITERS = 3, TURNS = 300 };
static uint32_t *common;

static void *write_and_run(void *argument)
{
    uint32_t *mine = common + 2 + 4 * (long)argument;
    long wrong = 0;
    for (int i = 0; i < TURNS; i++) {
        int wanted = i + 400 * (int)(long)argument;
        put(mine, wanted);
        __riscv_flush_icache(mine, mine + 2, 0);
        wrong += call(mine) != wanted;
    }
    return (void *)wrong;
}

static void *copy_and_run(void *argument)
{
    uint32_t *mine = common + 2 + 4 * (long)argument;
    long wrong = 0;
    for (int i = 0; i < TURNS; i++) {
        struct timespec now;
        int wanted = i + 400 * (int)(long)argument;
        put(mine, wanted);
        MUST(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now));
        fence_i();
        wrong += call(mine) != wanted;
    }
    return (void *)wrong;
}

static void test_threads(const char *what, void *(*function)(void *))
{
    pthread_t threads[WRITERS];
    long wrong = 0;
    common = pages(1);
    for (long i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, function, (void *)i);
    for (int i = 0; i < WRITERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (long)result;
    }
    EQ(what, wrong, 0);
    munmap(common, PAGE);
}

int main(void)
{
    MUST(pipe(tube));
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    test_unannounced();
    test_stores();
    test_mixed();
    test_many();
    test_announced();
    test_threads("three threads write to one page and name what they wrote", write_and_run);
    test_threads("three threads write to one page and fence", copy_and_run);
    test_rights();
    test_mappings();
    test_alias();
    test_children();
    test_maps();
    test_sleeper();
    test_kernel("read() into hot code", by_read, false);
    test_kernel("readv()", by_readv, false);
    test_kernel("pread()", by_pread, false);
    test_kernel("recv() of a datagram", by_recv, true);
    test_kernel("recvmsg()", by_recvmsg, true);
    test_kernel("process_vm_writev()", by_vm_write, false);
    test_kernel("process_vm_readv()", by_vm_read, false);
    test_measured();
    test_filled_before();
    return test_end();
}
