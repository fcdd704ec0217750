/* The guest's address space: every kind of mapping, at every kind of place.
 * reference: self its addresses are those of Sv39, where the host's own reach further
 */
#include "test.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW   (PROT_READ | PROT_WRITE)
enum { PAGE = 4096 };
static const unsigned long user_top = 1UL << 38; /* Sv39: the user half */

static sigjmp_buf back;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    siglongjmp(back, info->si_code);
}

/* What a load (or store) at `p` gives: 0, or the si_code of the signal. */
static int touch(void *p, bool write)
{
    int code = sigsetjmp(back, 1);
    if (code == 0) {
        if (write)
            *(volatile char *)p = *(volatile char *)p;
        else
            (void)*(volatile char *)p;
    }
    return code;
}

static long map(void *where, size_t size, int protection, int flags, int fd, long offset)
{
    return (long)mmap(where, size, protection, flags, fd, offset);
}

static void test_anonymous(void)
{
    char *p = mmap(NULL, 3 * PAGE, RW, ANON, -1, 0);
    OK("page-aligned", (unsigned long)p % PAGE == 0);
    OK("in the user half", (unsigned long)p < user_top);
    bool zero = true;
    for (int i = 0; i < 3 * PAGE; i++)
        zero &= p[i] == 0;
    OK("zeroed", zero);
    memset(p, 7, 3 * PAGE);
    EQ("unmap the middle", munmap(p + PAGE, PAGE), 0);
    EQ("before it", touch(p + PAGE - 1, true), 0);
    EQ("in it", touch(p + PAGE, false), SEGV_MAPERR);
    EQ("end of it", touch(p + 2 * PAGE - 1, false), SEGV_MAPERR);
    EQ("after it", touch(p + 2 * PAGE, true), 0);
    EQ("unmap with a hole", munmap(p, 3 * PAGE), 0);
    EQ("unmap what is not there", munmap(p, 3 * PAGE), 0);
    ERR("unmap: misaligned", munmap(p + 1, PAGE), EINVAL);
    ERR("unmap: length 0", munmap(p, 0), EINVAL);
    ERR("unmap: beyond everything", munmap((void *)0xfffffffffffff000, PAGE), EINVAL);
    ERR("map: length 0", map(NULL, 0, RW, ANON, -1, 0), EINVAL);
    ERR("map: neither shared nor private", map(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    ERR("map: huge length", map(NULL, ~0UL - PAGE, RW, ANON, -1, 0), ENOMEM);
    ERR("map: more than the user half", map(NULL, user_top, PROT_NONE, ANON | MAP_NORESERVE, -1, 0), ENOMEM);
    ERR("map: no such file", map(NULL, PAGE, RW, MAP_PRIVATE, 999, 0), EBADF);
    EQ("length is rounded up", map(NULL, 1, RW, ANON, -1, 0) % PAGE, 0);
}

static void test_fixed(void)
{
    char *p = mmap(NULL, 16 * PAGE, RW, ANON, -1, 0);
    memset(p, 5, 16 * PAGE);
    EQ("MAP_FIXED", map(p + 4 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0), (long)p + 4 * PAGE);
    OK("replaces", p[4 * PAGE] == 0 && p[6 * PAGE - 1] == 0);
    OK("leaves the neighbours", p[4 * PAGE - 1] == 5 && p[6 * PAGE] == 5);
    ERR("MAP_FIXED_NOREPLACE", map(p + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    munmap(p + 8 * PAGE, PAGE);
    EQ("MAP_FIXED_NOREPLACE where it is free", map(p + 8 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0),
       (long)p + 8 * PAGE);
    ERR("MAP_FIXED: misaligned", map(p + 5, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
    munmap(p + 10 * PAGE, 3 * PAGE);
    EQ("a free hint is taken", map(p + 11 * PAGE, PAGE, RW, ANON, -1, 0), (long)p + 11 * PAGE);
    OK("a used hint is not", map(p, PAGE, RW, ANON, -1, 0) != (long)p);
    long low = map((void *)0x10000000, PAGE, RW, ANON, -1, 0);
    EQ("a low hint", low, 0x10000000);
    munmap((void *)low, PAGE);
    long far = map((void *)0x7f0000000000, PAGE, RW, ANON, -1, 0);
    OK("a hint beyond Sv39 is only a hint", far > 0 && (unsigned long)far < user_top);
    static const unsigned long odd[] = {0x4000000000,       0x3ffffff000 + PAGE, 0x7f0000000000,
                                        0x7ffffffff000,     0x800000000000,      0x8000000000000000,
                                        0xffffffc000000000, 0xfffffffffffff000};
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char fact[64];
        snprintf(fact, sizeof fact, "MAP_FIXED at %#lx", odd[i]);
        ERR(fact, map((void *)odd[i], PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
    }
    ERR("MAP_FIXED across the top", map((void *)(user_top - PAGE), 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0),
        ENOMEM);
    static const unsigned long places[] = {0x20000000,   0x100000000,  0x1234567000,
                                           0x2000000000, 0x3000000000, 0x0080000000};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        char fact[64];
        snprintf(fact, sizeof fact, "MAP_FIXED_NOREPLACE at %#lx", places[i]);
        char *q = (char *)map((void *)places[i], 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
        if (q == MAP_FAILED && errno == EEXIST) { /* a library may live there */
            OK(fact, true);
            continue;
        }
        EQ(fact, (long)q, places[i]);
        memset(q, 3, 2 * PAGE);
        munmap(q, 2 * PAGE);
    }
    munmap(p, 16 * PAGE);
}

static void test_protect(void)
{
    char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
    p[PAGE] = 42;
    EQ("mprotect READ", mprotect(p + PAGE, PAGE, PROT_READ), 0);
    EQ("load", touch(p + PAGE, false), 0);
    EQ("store", touch(p + PAGE, true), SEGV_ACCERR);
    EQ("store before", touch(p + PAGE - 1, true), 0);
    EQ("store after", touch(p + 2 * PAGE, true), 0);
    mprotect(p + PAGE, PAGE, PROT_NONE);
    EQ("PROT_NONE: load", touch(p + PAGE, false), SEGV_ACCERR);
    mprotect(p, 4 * PAGE, RW);
    EQ("and back: store", touch(p + PAGE, true), 0);
    EQ("contents survive", p[PAGE], 42);
    ERR("misaligned", mprotect(p + 1, PAGE, RW), EINVAL);
    munmap(p + 2 * PAGE, PAGE);
    ERR("across a hole", mprotect(p, 4 * PAGE, PROT_READ), ENOMEM);
    ERR("unknown bits", mprotect(p, PAGE, 0x70), EINVAL);
    EQ("length 0", mprotect(p, 0, PROT_READ), 0);
    munmap(p, 4 * PAGE);
    char *w = mmap(NULL, PAGE, PROT_WRITE, ANON, -1, 0);
    EQ("a PROT_WRITE page can be written", touch(w, true), 0);
    munmap(w, PAGE);
}

static void test_files(void)
{
    enter_scratch();
    int fd = open("data", O_RDWR | O_CREAT, 0600);
    char block[PAGE];
    for (int i = 0; i < 4; i++) {
        memset(block, 'a' + i, PAGE);
        MUST(write(fd, block, PAGE));
    }
    char *shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    char *copy = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
    char *third = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 2 * PAGE);
    OK("contents", shared[0] == 'a' && shared[PAGE] == 'b' && third[5] == 'c');
    shared[1] = 'X';
    EQ("shared write is seen by read", pread(fd, block, 1, 1) == 1 ? block[0] : -1, 'X');
    copy[2] = 'Y';
    EQ("private write is not", pread(fd, block, 1, 2) == 1 ? block[0] : -1, 'a');
    EQ("nor by the shared mapping", shared[2], 'a');
    MUST(pwrite(fd, "Z", 1, 2 * PAGE));
    EQ("write is seen by the mapping", third[0], 'Z');
    EQ("msync", msync(shared, 4 * PAGE, MS_SYNC), 0);
    EQ("msync async", msync(shared, PAGE, MS_ASYNC), 0);
    ERR("msync: bad flags", msync(shared, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    munmap(third, PAGE);
    ERR("msync of nothing", msync(third, PAGE, MS_SYNC), ENOMEM);
    int read_only = open("data", O_RDONLY);
    ERR("shared writable mapping of a read-only file", map(NULL, PAGE, RW, MAP_SHARED, read_only, 0), EACCES);
    char *cow = mmap(NULL, PAGE, RW, MAP_PRIVATE, read_only, 0);
    cow[0] = 'W';
    EQ("a private one can be written", cow[0], 'W');
    void *ro = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
    ERR("and cannot be made writable", mprotect(ro, PAGE, RW), EACCES);
    int write_only = open("data", O_WRONLY);
    ERR("mapping a write-only file", map(NULL, PAGE, PROT_READ, MAP_SHARED, write_only, 0), EACCES);
    ERR("misaligned offset", map(NULL, PAGE, RW, MAP_SHARED, fd, 100), EINVAL);
    int dir = open(".", O_RDONLY);
    ERR("mapping a directory", map(NULL, PAGE, PROT_READ, MAP_SHARED, dir, 0), ENODEV);
    close(fd);
    EQ("the mapping outlives the descriptor", shared[3 * PAGE], 'd');
    EQ("MAP_FIXED of a file over anonymous memory",
       map(copy, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, read_only, 3 * PAGE), (long)copy);
    EQ("its contents", copy[9], 'd');
    EQ("its neighbour", copy[PAGE], 'b');
    pid_t child = fork();
    if (child == 0) {
        shared[7] = 'C';
        copy[PAGE + 7] = 'P';
        _exit(0);
    }
    waitpid(child, NULL, 0);
    OK("after fork: shared is shared, private is private", shared[7] == 'C' && copy[PAGE + 7] == 'b');
    leave_scratch();
}

static void test_mremap(void)
{
    char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0);
    for (int i = 0; i < 8; i++)
        p[i * PAGE] = (char)i;
    EQ("shrink", (long)mremap(p, 8 * PAGE, 4 * PAGE, 0), (long)p);
    EQ("the tail is gone", touch(p + 4 * PAGE, false), SEGV_MAPERR);
    char *stop = mmap(p + 4 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    ERR("cannot grow in place", (long)mremap(p, 4 * PAGE, 6 * PAGE, 0), ENOMEM);
    char *q = mremap(p, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    OK("moves", q != MAP_FAILED && q != p);
    bool right = true;
    for (int i = 0; i < 4; i++)
        right &= q[i * PAGE] == i;
    OK("contents move along", right && q[5 * PAGE] == 0);
    EQ("the old place is empty", touch(p, false), SEGV_MAPERR);
    EQ("the neighbour is untouched", touch(stop, true), 0);
    q[63 * PAGE] = 63;
    char *r = mmap(NULL, 64 * PAGE, PROT_NONE, ANON, -1, 0);
    EQ("MREMAP_FIXED", (long)mremap(q, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, r), (long)r);
    OK("contents", r[3 * PAGE] == 3 && r[63 * PAGE] == 63);
    EQ("the old place is empty", touch(q, false), SEGV_MAPERR);
    char *s = mremap(r, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | 4); /* MREMAP_DONTUNMAP */
    OK("MREMAP_DONTUNMAP", s != MAP_FAILED && s[63 * PAGE] == 63 && r[63 * PAGE] == 0);
    ERR("new size 0", (long)mremap(s, PAGE, 0, 0), EINVAL);
    ERR("misaligned", (long)mremap(s + 1, PAGE, PAGE, 0), EINVAL);
    munmap(p, PAGE);
    ERR("nothing there", (long)mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    ERR("MREMAP_FIXED beyond Sv39",
        (long)mremap(s, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)user_top), EINVAL);
    munmap(s, 64 * PAGE);
    munmap(r, 64 * PAGE);
    munmap(stop, PAGE);
}

static void test_advice(void)
{
    char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
    memset(p, 9, 4 * PAGE);
    EQ("DONTNEED", madvise(p + PAGE, PAGE, MADV_DONTNEED), 0);
    OK("zeroes its pages alone", p[PAGE] == 0 && p[2 * PAGE - 1] == 0 && p[0] == 9 && p[2 * PAGE] == 9);
    EQ("WILLNEED", madvise(p, PAGE, MADV_WILLNEED), 0);
    EQ("NORMAL", madvise(p, PAGE, MADV_NORMAL), 0);
    EQ("FREE", madvise(p, PAGE, MADV_FREE), 0);
    EQ("DONTFORK", madvise(p, PAGE, MADV_DONTFORK), 0);
    EQ("DOFORK", madvise(p, PAGE, MADV_DOFORK), 0);
    EQ("WIPEONFORK", madvise(p + 2 * PAGE, PAGE, MADV_WIPEONFORK), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(p[2 * PAGE] == 0 && p[3 * PAGE] == 9 ? 1 : 2);
    int status;
    waitpid(child, &status, 0);
    EQ("wiped in the child", WEXITSTATUS(status), 1);
    ERR("unknown advice", madvise(p, PAGE, 999), EINVAL);
    ERR("misaligned", madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
    munmap(p, PAGE);
    ERR("hole", madvise(p, 4 * PAGE, MADV_DONTNEED), ENOMEM);
    unsigned char resident[3];
    p[3 * PAGE] = 1;
    EQ("mincore", mincore(p + PAGE, 3 * PAGE, resident), 0);
    EQ("resident", resident[2] & 1, 1);
    ERR("mincore of nothing", mincore(p, PAGE, resident), ENOMEM);
    EQ("mlock", mlock(p + PAGE, PAGE), 0);
    EQ("munlock", munlock(p + PAGE, PAGE), 0);
    munmap(p + PAGE, 3 * PAGE);
}

static void test_sparse(void)
{
    const size_t size = 64UL << 30;
    char *p = mmap(NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    OK("64 GiB of PROT_NONE", p != MAP_FAILED);
    EQ("a piece of it made writable", mprotect(p + (40UL << 30), 1 << 20, RW), 0);
    p[(40UL << 30) + 5] = 1;
    EQ("still closed beside it", touch(p + (40UL << 30) - 1, false), SEGV_ACCERR);
    EQ("unmapped", munmap(p, size), 0);
    p = mmap(NULL, size, RW, ANON | MAP_NORESERVE, -1, 0);
    OK("64 GiB read-write", p != MAP_FAILED);
    for (size_t i = 0; i < size; i += 1UL << 30)
        p[i] = (char)(i >> 30);
    bool right = true;
    for (size_t i = 0; i < size; i += 1UL << 30)
        right &= p[i] == (char)(i >> 30) && p[i + PAGE] == 0;
    OK("written sparsely", right);
    munmap(p, size);
    int maps = 0;
    while (maps < 2000 && mmap(NULL, 2 * PAGE, maps & 1 ? RW : PROT_READ, ANON, -1, 0) != MAP_FAILED)
        maps++;
    EQ("2000 mappings", maps, 2000);
}

static void test_brk(void)
{
    char *start = sbrk(0);
    EQ("grow", (long)sbrk(10 * PAGE), (long)start);
    memset(start, 1, 10 * PAGE);
    EQ("shrink", brk(start + PAGE), 0);
    EQ("grow again", brk(start + 3 * PAGE), 0);
    unsigned long end = ((unsigned long)start + 2 * PAGE) & ~(PAGE - 1UL);
    OK("new pages are zero", *(char *)end == 0 && *((char *)end + PAGE - 1) == 0);
    ERR("far too much", brk((void *)(user_top - PAGE)), ENOMEM);
    EQ("unchanged by that", (long)sbrk(0), (long)start + 3 * PAGE);
    brk(start);
    OK("below the start", syscall(SYS_brk, 16) == (long)start);
}

static void test_heap(void)
{
    char *blocks[200];
    bool right = true;
    for (int i = 0; i < 200; i++) {
        blocks[i] = malloc((size_t)i * 5000 + 1);
        memset(blocks[i], i, (size_t)i * 5000 + 1);
    }
    for (int i = 0; i < 200; i++)
        blocks[i] = realloc(blocks[i], (size_t)i * 9000 + 1);
    for (int i = 0; i < 200; i++) {
        right &= blocks[i][i * 5000] == (char)i;
        free(blocks[i]);
    }
    OK("malloc, realloc, free", right);
    OK("malloc of the impossible", malloc((size_t)1 << 62) == NULL);
}

int main(void)
{
    handle(SIGSEGV, on_fault, 0);
    test_brk();
    test_anonymous();
    test_fixed();
    test_protect();
    test_files();
    test_mremap();
    test_advice();
    test_sparse();
    test_heap();
    return test_end();
}
