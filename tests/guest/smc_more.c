/* Code that changes, second part: other threads run it, two mappings of it, mappings that come and go, units of two pages.
 * reference: self it writes riscv64 instructions and checks what they return
 * timeout: 120
 */
#include "test.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/cachectl.h>
#include <sys/mman.h>

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define RX  (PROT_READ | PROT_EXEC)
enum { PAGE = 4096, ROUNDS = 100, HOT = 60 };

typedef long function(long);

/* Instructions. */
static const uint32_t ret = 0x00008067, nop = 0x00000013;
static uint32_t li_a0(int value)
{
    return ((uint32_t)value & 0xfff) << 20 | 0x513;
}
static uint32_t addi_a0(int value)
{
    return ((uint32_t)value & 0xfff) << 20 | 0x50513;
}
static uint32_t jump(long distance)
{
    uint32_t d = (uint32_t)distance;
    return (d >> 20 & 1) << 31 | (d >> 1 & 0x3ff) << 21 | (d >> 11 & 1) << 20 | (d >> 12 & 0xff) << 12 | 0x6f;
}

static void *pages(size_t count, int protection)
{
    void *at = mmap(NULL, count * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(at == MAP_FAILED ? -1 : 0);
    return at;
}

static void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

static void flush_all(void *start, size_t size)
{
    MUST(__riscv_flush_icache(start, (char *)start + size, 0));
}

static long call(const void *code, long argument)
{
    __asm__ volatile("" ::: "memory");
    return ((function *)(uintptr_t)code)(argument);
}

/* Often enough to be translated. */
static bool returns(const void *code, long argument, long wanted)
{
    bool right = true;
    for (int i = 0; i < HOT; i++)
        right &= call(code, argument) == wanted;
    return right;
}

/* ---- A thread changes what others run in a loop, and they are not asked to do anything ---- */

enum { RUNNERS = 3 };
static uint32_t *shared_code;
static long latest[RUNNERS];
static bool stop, went_back;

static void *run_always(void *argument)
{
    long *mine = &latest[(long)argument];
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        long got = call(shared_code, 0);
        if (got < *mine)
            went_back = true;
        __atomic_store_n(mine, got, __ATOMIC_RELEASE);
    }
    return NULL;
}

static bool all_saw(long wanted)
{
    for (double end = now() + 10; now() < end; sched_yield()) {
        int saw = 0;
        for (int i = 0; i < RUNNERS; i++)
            saw += __atomic_load_n(&latest[i], __ATOMIC_ACQUIRE) == wanted;
        if (saw == RUNNERS)
            return true;
    }
    return false;
}

static void test_others(void (*change)(int round))
{
    pthread_t threads[RUNNERS];
    bool right = true;
    memset(latest, 0, sizeof latest);
    stop = went_back = false;
    for (long i = 0; i < RUNNERS; i++)
        pthread_create(&threads[i], NULL, run_always, (void *)i);
    for (int round = 1; round <= ROUNDS && right; round++) {
        change(round);
        right = all_saw(round);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < RUNNERS; i++)
        pthread_join(threads[i], NULL);
    OK("the others see every change after the flush", right);
    OK("and never an older one again", !went_back);
}

static void change_in_place(int round)
{
    __atomic_store_n(&shared_code[0], li_a0(round), __ATOMIC_RELAXED);
    flush_all(shared_code, 8);
}

/* A jump that leads to the old function or to the new one, as inline caches do it. */
static void change_jump(int round)
{
    uint32_t *body = shared_code + 16 + 4 * round;
    body[0] = li_a0(round);
    body[1] = ret;
    flush_all(body, 8);
    __atomic_store_n(&shared_code[0], jump((char *)body - (char *)shared_code), __ATOMIC_RELEASE);
    flush_all(shared_code, 4);
}

/* A loop that has no way out but a change of its code. */
static uint32_t *endless;

static void *run_endless(void *argument)
{
    (void)argument;
    return (void *)call(endless, 0);
}

static void test_endless(void)
{
    bool right = true;
    endless = pages(1, RWX);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result;
        endless[0] = addi_a0(0);
        endless[1] = nop;
        endless[2] = jump(-8);
        endless[3] = li_a0(i);
        endless[4] = ret;
        flush_all(endless, 20);
        pthread_create(&thread, NULL, run_endless, NULL);
        sleep_ms(5);
        __atomic_store_n(&endless[2], nop, __ATOMIC_RELAXED);
        flush_all(endless, 20);
        pthread_join(thread, &result);
        right &= (long)result == i;
    }
    OK("a loop ends when its jump is overwritten", right);
    munmap(endless, PAGE);
}

/* ---- Mappings ---- */

static void test_flips(void)
{
    uint32_t *code = pages(1, PROT_READ | PROT_WRITE);
    bool right = true;
    for (int i = 0; i < ROUNDS; i++) {
        MUST(mprotect(code, PAGE, PROT_READ | PROT_WRITE));
        code[0] = li_a0(i);
        code[1] = ret;
        MUST(mprotect(code, PAGE, RX));
        fence_i();
        right &= returns(code, 0, i);
    }
    OK("written and executable by turns", right);
    munmap(code, PAGE);
}

static void test_aliases(void)
{
    int fd = (int)MUST(syscall(SYS_memfd_create, "code", 0));
    MUST(ftruncate(fd, 2 * PAGE));
    uint32_t *writer = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *one = mmap(NULL, 2 * PAGE, RX, MAP_SHARED, fd, 0),
         *two = mmap(NULL, 2 * PAGE, RX, MAP_SHARED, fd, 0);
    bool right = true;
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t *at = writer + i % 2 * (PAGE / 4 - 1); /* at the start, and across the page boundary */
        at[0] = addi_a0(i);
        at[1] = ret;
        flush_all(at, 8);
        size_t offset = (size_t)((char *)at - (char *)writer);
        right &= returns(one + offset, 1, i + 1) && returns(two + offset, 2, i + 2);
    }
    OK("one file, written at one address, run at two others", right);
    MUST(mmap(two, PAGE, RX, MAP_SHARED | MAP_FIXED, fd, PAGE) == MAP_FAILED ? -1 : 0);
    writer[PAGE / 4] = li_a0(11);
    writer[PAGE / 4 + 1] = ret;
    flush_all(two, 8);
    OK("another part of the file at the same address", returns(two, 0, 11));
    munmap(writer, 2 * PAGE);
    munmap(one, 2 * PAGE);
    munmap(two, 2 * PAGE);
    close(fd);
}

/* Code that comes with a mapping needs no fence beyond what the kernel does. */
static void test_remapping(void)
{
    int fds[2];
    for (int i = 0; i < 2; i++) {
        uint32_t words[PAGE / 4] = {li_a0(100 + i), ret};
        fds[i] = (int)MUST(syscall(SYS_memfd_create, "code", 0));
        MUST(write(fds[i], words, sizeof words));
    }
    char *at = pages(2, PROT_NONE), *other = at + PAGE;
    bool right = true, moved = true;
    for (int i = 0; i < ROUNDS; i++) {
        MUST(mmap(at, PAGE, RX, MAP_PRIVATE | MAP_FIXED, fds[i % 2], 0) == MAP_FAILED ? -1 : 0);
        fence_i();
        right &= returns(at, 0, 100 + i % 2);
        moved &= mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other &&
                 returns(other, 0, 100 + i % 2);
    }
    munmap(other, PAGE);
    OK("other code mapped at the same address", right);
    OK("code moved by mremap", moved);
    close(fds[0]);
    close(fds[1]);
}

static void test_madvise(void)
{
    uint32_t *code = pages(1, RWX);
    code[0] = li_a0(5);
    code[1] = ret;
    fence_i();
    OK("before MADV_DONTNEED", returns(code, 0, 5));
    MUST(madvise(code, PAGE, MADV_DONTNEED));
    code[0] = li_a0(6);
    code[1] = ret;
    fence_i();
    OK("after MADV_DONTNEED", returns(code, 0, 6));
    munmap(code, PAGE);
}

/* ---- Units of two pages ---- */

/* A function that goes through the end of one page into the next; either of them changes. */
static void test_two_pages(void)
{
    enum { BEFORE = 8, AFTER = 8 };
    char *code = pages(2, RWX);
    uint32_t *at = (uint32_t *)(code + PAGE) - BEFORE;
    for (int i = 0; i < BEFORE + AFTER; i++)
        at[i] = addi_a0(1);
    at[BEFORE + AFTER] = ret;
    fence_i();
    OK("a function across two pages", returns(at, 0, BEFORE + AFTER));
    bool right = true;
    for (int i = 0; i < ROUNDS; i++) {
        at[BEFORE] = addi_a0(i);
        fence_i();
        right &= returns(at, 0, BEFORE + AFTER - 1 + i);
    }
    OK("its second page changes", right);
    at[BEFORE] = addi_a0(1);
    for (int i = 0; i < ROUNDS; i++) {
        at[BEFORE - 1] = addi_a0(i);
        fence_i();
        right &= returns(at, 0, BEFORE + AFTER - 1 + i);
    }
    OK("its first page changes", right);
    at[BEFORE - 1] = addi_a0(1);
    uint32_t *second =
        mmap(code + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (int i = 0; i < AFTER; i++)
        second[i] = addi_a0(2);
    second[AFTER] = ret;
    MUST(mprotect(second, PAGE, RX));
    fence_i();
    OK("its second page is another", returns(at, 0, BEFORE + 2 * AFTER));
    munmap(code, 2 * PAGE);
}

/* A jump inside a unit leads to another page, which alone changes. */
static void test_pieces(void)
{
    uint32_t *code = pages(8, RWX), *far = code + 6 * PAGE / 4;
    bool right = true;
    code[0] = addi_a0(1);
    code[1] = jump((char *)far - (char *)&code[1]);
    far[0] = addi_a0(1);
    far[1] = ret;
    for (int i = 0; i < ROUNDS; i++) {
        far[0] = addi_a0(i);
        fence_i();
        right &= returns(code, 10, 11 + i);
    }
    OK("a jump's target changes, in a page of its own", right);
    munmap(code, 8 * PAGE);
}

static void test_dlopen(void)
{
    enum { TIMES = 1000 };
    bool right = true;
    int opened = 0;
    for (int i = 0; i < TIMES; i++) {
        void *library = dlopen(i % 2 ? "libm.so.6" : "libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
        opened += library != NULL;
        if (i % 2) {
            double (*function)(double) = library ? (double (*)(double))dlsym(library, "floor") : NULL;
            right &= function && function(3.5) == 3;
        } else {
            unsigned (*function)(const unsigned char *) =
                library ? (unsigned (*)(const unsigned char *))dlsym(library, "ns_get16") : NULL;
            right &= function && function((const unsigned char *)"\1\2") == 258;
        }
        if (library)
            dlclose(library);
    }
    EQ("libraries opened and closed", opened, TIMES);
    OK("their functions", right);
}

int main(void)
{
    shared_code = pages(4, RWX);
    shared_code[0] = li_a0(0);
    shared_code[1] = ret;
    fence_i();
    test_others(change_in_place);
    shared_code[0] = li_a0(0);
    fence_i();
    test_others(change_jump);
    test_endless();
    test_flips();
    test_aliases();
    test_remapping();
    test_madvise();
    test_two_pages();
    test_pieces();
    if (getauxval(AT_BASE))
        test_dlopen();
    return test_end();
}
