/* Code that changes: fence.i, the flush system call, mprotect, remapping, and other threads that run it.
 * reference: self it writes riscv64 instructions and checks what they return
 */
#include "test.h"
#include <pthread.h>
#include <sys/cachectl.h>
#include <sys/mman.h>

typedef long function(void);
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

static uint32_t li_a0(int value)
{
    return ((uint32_t)value & 0xfff) << 20 | 0x513;
}
static const uint32_t ret = 0x00008067;

static void *pages(size_t count, int protection)
{
    return mmap(NULL, count * 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

static long call(void *code)
{
    __asm__ volatile("" ::: "memory");
    return ((function *)code)();
}

static void test_rewrite(void)
{
    uint32_t *code = pages(1, RWX);
    bool right = true;
    code[1] = ret;
    for (int i = 0; i < 1000; i++) {
        code[0] = li_a0(i);
        fence_i();
        right &= call(code) == i;
    }
    OK("1000 rewrites with fence.i", right);
    for (int i = 0; i < 1000; i++) {
        code[0] = li_a0(1000 - i);
        __builtin___clear_cache((char *)code, (char *)code + 8);
        right &= call(code) == 1000 - i;
    }
    OK("1000 rewrites with __clear_cache", right);
    code[0] = li_a0(77);
    EQ("riscv_flush_icache", __riscv_flush_icache(code, code + 2, 0), 0);
    EQ("and its effect", call(code), 77);
    EQ("the system call itself", syscall(259, code, code + 2, 1), 0);
    ERR("with unknown flags", syscall(259, code, code + 2, 0x100), EINVAL);
    munmap(code, 4096);
}

/* A loop whose body is patched from inside itself. */
static void test_inside(void)
{
    uint32_t *code = pages(1, RWX);
    /* a0 = the address of the word to patch, a1 = the new word: sw a1, 0(a0); fence.i; [patched: li a0, 1]; ret */
    code[0] = 0x00b52023;
    code[1] = 0x0000100f;
    code[2] = li_a0(1);
    code[3] = ret;
    fence_i();
    bool right = true;
    for (int i = 0; i < 100; i++)
        right &= ((long (*)(uint32_t *, uint32_t))code)(&code[2], li_a0(i + 2)) == i + 2;
    OK("code that patches what follows it", right);
    munmap(code, 4096);
}

static void test_protection(void)
{
    uint32_t *code = pages(2, PROT_READ | PROT_WRITE);
    code[0] = li_a0(5);
    code[1] = ret;
    mprotect(code, 8192, PROT_READ | PROT_EXEC);
    EQ("written, then made executable", call(code), 5);
    mprotect(code, 8192, PROT_READ | PROT_WRITE);
    code[0] = li_a0(6);
    mprotect(code, 8192, PROT_READ | PROT_EXEC);
    fence_i();
    EQ("changed under W^X", call(code), 6);
    uint32_t *again =
        mmap(code, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    again[0] = li_a0(7);
    again[1] = ret;
    mprotect(again, 4096, PROT_READ | PROT_EXEC);
    fence_i();
    EQ("a new mapping at the same place", call(again), 7);
    munmap(again, 8192);

    int fd = (int)syscall(SYS_memfd_create, "code", 0);
    MUST(ftruncate(fd, 4096));
    uint32_t *writer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void *runner = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    bool right = true;
    writer[1] = ret;
    for (int i = 0; i < 200; i++) {
        writer[0] = li_a0(i);
        fence_i();
        right &= call(runner) == i;
    }
    OK("written through one mapping, run through another", right);
    uint32_t word = li_a0(1234);
    MUST(pwrite(fd, &word, 4, 0));
    fence_i();
    EQ("written with pwrite", call(runner), 1234);
    close(fd);
    uint32_t *read_target = pages(1, RWX);
    int tube[2];
    uint32_t words[2] = {li_a0(99), ret};
    MUST(pipe(tube));
    MUST(write(tube[1], words, 8));
    MUST(read(tube[0], read_target, 8));
    fence_i();
    EQ("written by read()", call(read_target), 99);
    uint32_t *moved = mremap(read_target, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, pages(1, PROT_NONE));
    EQ("after mremap", call(moved), 99);
    pid_t child = fork();
    if (child == 0) {
        moved[0] = li_a0(55);
        fence_i();
        _exit((int)call(moved));
    }
    int status;
    waitpid(child, &status, 0);
    EQ("changed in a child", WEXITSTATUS(status), 55);
    EQ("unchanged in the parent", call(moved), 99);
}

/* Instructions across a page boundary, patched on either side. */
static void test_boundary(void)
{
    char *code = pages(2, RWX);
    uint16_t *at = (uint16_t *)(code + 4094);
    bool right = true;
    for (int i = 0; i < 100; i++) {
        uint32_t word = li_a0(i * 7);
        memcpy(at, &word, 4);
        memcpy(at + 2, &ret, 4);
        fence_i();
        right &= call(at) == i * 7;
    }
    OK("an instruction across two pages", right);
    memcpy(code + 8188, &(uint32_t){li_a0(3)}, 4);
    munmap(code, 8192);
}

static uint32_t *shared_code;
static int generation, seen[3];

static void *run_code(void *arg)
{
    int *mine = &seen[(long)arg];
    for (int wanted = 1; wanted <= 200; wanted++) {
        while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) < wanted)
            sched_yield();
        fence_i();
        if (call(shared_code) != wanted)
            return (void *)(long)wanted;
        __atomic_store_n(mine, wanted, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[3];
    shared_code = pages(1, RWX);
    shared_code[1] = ret;
    for (long i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, run_code, (void *)i);
    for (int wanted = 1; wanted <= 200; wanted++) {
        shared_code[0] = li_a0(wanted);
        __riscv_flush_icache(shared_code, shared_code + 2, 0);
        __atomic_store_n(&generation, wanted, __ATOMIC_RELEASE);
        for (int i = 0; i < 3; i++)
            while (__atomic_load_n(&seen[i], __ATOMIC_ACQUIRE) < wanted &&
                   __atomic_load_n(&seen[i], __ATOMIC_ACQUIRE) >= 0)
                sched_yield();
    }
    void *result, *bad = NULL;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &result);
        bad = result ? result : bad;
    }
    EQ("three threads run what a fourth writes", (long)bad, 0);
}

static void test_many(void)
{
    /* More code than any cache likes to hold at once. */
    enum { FUNCTIONS = 20000 };
    uint32_t *code = pages(FUNCTIONS * 8 / 4096 + 1, RWX);
    for (int i = 0; i < FUNCTIONS; i++) {
        code[i * 2] = li_a0(i % 2000);
        code[i * 2 + 1] = ret;
    }
    fence_i();
    bool right = true;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < FUNCTIONS; i++)
            right &= call(&code[i * 2]) == i % 2000;
    OK("20000 functions", right);
}

int main(void)
{
    test_rewrite();
    test_inside();
    test_protection();
    test_boundary();
    test_threads();
    test_many();
    return test_end();
}
