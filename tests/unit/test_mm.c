/* The address space against what Linux does; a random walk against a model of single pages. */
#include "mm_fixture.h"

#include "base/util.h"
#include "host/sanitize.h"
#include "process/regions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define P    MM_PAGE
#define AT   ((uint64_t)0x10000000)
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* ---- The code is told ---- */

struct code;
void __wrap_code_invalidate(struct code *code, uint64_t start, uint64_t end);

static uint64_t told_start, told_end;
static unsigned told;

void __wrap_code_invalidate(struct code *code, uint64_t start, uint64_t end)
{
    (void)code;
    told_start = start;
    told_end = end;
    told++;
}

static void expect_told(uint64_t start, uint64_t end)
{
    assert_int_equal(told, 1);
    assert_int_equal(told_start, start);
    assert_int_equal(told_end, end);
    told = 0;
}

/* ---- Helpers ---- */

static int64_t map(struct mm *mm, uint64_t at, uint64_t pages, int prot)
{
    return mm_mmap(mm, at, pages * P, prot, ANON | MAP_FIXED, -1, 0);
}

static void put(struct mm *mm, uint64_t at, int value)
{
    assert_int_equal(mm_write(mm, at, &value, sizeof(value)), 0);
}

static int get(struct mm *mm, uint64_t at)
{
    int value = -1;
    return mm_read(mm, &value, at, sizeof(value)) ? -EFAULT : value;
}

/* The rights of a page, -1: not mapped. */
static int prot_at(struct mm *mm, uint64_t at)
{
    struct mm_region r;
    return mm_find(mm, at, &r) && r.start <= at ? r.prot : -1;
}

static int temporary_file(size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0 && !ftruncate(fd, (off_t)size));
    return fd;
}

/* ---- mmap and munmap ---- */

static void places_downwards(void **state)
{
    struct mm *mm = enter(state);
    int64_t a = mm_mmap(mm, 0, 3 * P, RW, ANON, -1, 0), b = mm_mmap(mm, 0, P, PROT_READ, ANON, -1, 0);
    assert_int_equal(a + (int64_t)(3 * P), mm_layout(mm)->high);
    assert_int_equal(b + (int64_t)P, a);
    put(mm, (uint64_t)a, 42);
    assert_int_equal(get(mm, (uint64_t)a), 42);
    assert_int_equal(mm_munmap(mm, (uint64_t)a, 3 * P), 0);
    assert_int_equal(get(mm, (uint64_t)a), -EFAULT);
    assert_int_equal(mm_mmap(mm, 0, 2 * P, RW, ANON, -1, 0), a + (int64_t)P);
    assert_int_equal(mm_mmap(mm, AT, P, RW, ANON, -1, 0), AT);
    assert_true(mm_mmap(mm, AT, P, RW, ANON, -1, 0) != (int64_t)AT); /* a hint that is taken */
    assert_int_equal(mm_mmap(mm, 0, (uint64_t)4 << 20, RW, ANON, -1, 0) % (2 << 20), 0);
}

static void mmap_errors(void **state)
{
    struct mm *mm = enter(state);
    uint64_t limit = mm_limit(mm);
    int fd = temporary_file(P);
    assert_int_equal(limit, (uint64_t)1 << 38);
    assert_int_equal(mm_mmap(mm, 0, 0, RW, ANON, -1, 0), -EINVAL);
    assert_int_equal(mm_mmap(mm, 0, UINT64_MAX, RW, ANON, -1, 0), -ENOMEM);
    assert_int_equal(mm_mmap(mm, 0, limit, RW, ANON, -1, 0), -ENOMEM);
    assert_int_equal(mm_mmap(mm, 0, P, RW, MAP_ANONYMOUS, -1, 0), -EINVAL);
    assert_int_equal(mm_mmap(mm, 0, P, RW, MAP_PRIVATE, -1, 0), -EBADF);
    assert_int_equal(mm_mmap(mm, 0, P, RW, MAP_PRIVATE, fd, 100), -EINVAL);
    assert_int_equal(mm_mmap(mm, AT + 1, P, RW, ANON | MAP_FIXED, -1, 0), -EINVAL);
    assert_int_equal(mm_mmap(mm, 0, P, RW, ANON | MAP_FIXED, -1, 0), -EPERM);
    assert_int_equal(mm_mmap(mm, limit, P, RW, ANON | MAP_FIXED, -1, 0), -ENOMEM);
    assert_int_equal(mm_mmap(mm, limit - P, 2 * P, RW, ANON | MAP_FIXED, -1, 0), -ENOMEM);
    assert_int_equal(mm_mmap(mm, limit - P, P, RW, ANON | MAP_FIXED, -1, 0), limit - P);
    assert_int_equal(mm_mmap(mm, AT, P, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), AT);
    assert_int_equal(mm_mmap(mm, AT, P, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), -EEXIST);
    assert_int_equal(mm_mmap(mm, AT, P, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0), -EINVAL);
    assert_int_equal(mm_munmap(mm, AT + 1, P), -EINVAL);
    assert_int_equal(mm_munmap(mm, AT, 0), -EINVAL);
    assert_int_equal(mm_munmap(mm, limit, P), -EINVAL);
    assert_int_equal(mm_munmap(mm, AT - 16 * P, P), 0); /* a hole */
    assert_int_equal(mm_munmap(mm, 0, P), 0);
    close(fd);
}

/* A mapping that the host refuses must leave the old one, or a hole, but never a page that nobody knows of. */
static void failed_mapping_leaves_order(void **state)
{
    struct mm *mm = enter(state);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(map(mm, AT, 3, RW), AT);
    assert_int_equal(mm_mmap(mm, AT + P, P, RW, MAP_PRIVATE | MAP_FIXED, fd, 0), -EACCES);
    assert_int_equal(mm_mmap(mm, AT + 3 * P, P, RW, MAP_PRIVATE | MAP_FIXED, fd, 0), -EACCES);
    assert_int_equal(get(mm, AT + P) == -EFAULT, prot_at(mm, AT + P) == -1);
    assert_int_equal(get(mm, AT + 3 * P), -EFAULT);
    assert_int_equal(prot_at(mm, AT + 3 * P), -1);
    close(fd);
}

static void fixed_replaces_the_middle(void **state)
{
    struct mm *mm = enter(state);
    struct mm_region r;
    map(mm, AT, 5, RW);
    put(mm, AT, 1);
    put(mm, AT + 2 * P, 2);
    put(mm, AT + 4 * P, 3);
    map(mm, AT + P, 3, PROT_READ);
    assert_int_equal(get(mm, AT + 2 * P), 0);
    assert_int_equal(get(mm, AT + 4 * P), 3);
    assert_true(mm_find(mm, AT + P, &r));
    assert_int_equal(r.start, AT + P);
    assert_int_equal(r.end, AT + 4 * P);
    map(mm, AT + P, 3, RW);
    assert_true(mm_find(mm, AT, &r)); /* equal neighbours are one again */
    assert_int_equal(r.end - r.start, 5 * P);
    assert_true(mm_check(mm, AT, 5 * P, RW));
    assert_false(mm_check(mm, AT, 5 * P + 1, PROT_READ));
}

static void file_beyond_its_end(void **state)
{
    struct mm *mm = enter(state);
    int fd = temporary_file(P);
    assert_int_equal(mm_mmap(mm, AT, 2 * P, RW, MAP_SHARED | MAP_FIXED, fd, 0), AT);
    put(mm, AT, 7);
    int value = 0;
    assert_int_equal(pread(fd, &value, sizeof(value), 0), sizeof(value));
    assert_int_equal(value, 7);
    assert_int_equal(get(mm, AT + P), -EFAULT); /* SIGBUS */
    close(fd);
}

/* ---- mprotect ---- */

static void protects(void **state)
{
    struct mm *mm = enter(state);
    map(mm, AT, 4, RW);
    put(mm, AT + P, 9);
    assert_int_equal(mm_mprotect(mm, AT + P, P, PROT_NONE), 0);
    assert_int_equal(get(mm, AT + P), -EFAULT);
    assert_int_equal(mm_mprotect(mm, AT + P, P, PROT_WRITE), 0); /* implies reading */
    assert_int_equal(get(mm, AT + P), 9);
    assert_true(mm_check(mm, AT + P, P, PROT_READ));
    assert_int_equal(mm_mprotect(mm, AT + P, 1, PROT_READ | PROT_EXEC), 0);
    assert_int_not_equal(mm_write(mm, AT + P, "x", 1), 0);
    uint64_t end;
    bool writable;
    assert_true(mm_executable(mm, AT + P + 4, &end, &writable));
    assert_int_equal(end, AT + 2 * P);
    assert_false(writable);
    assert_false(mm_executable(mm, AT, &end, &writable));

    assert_int_equal(mm_mprotect(mm, AT + 1, P, RW), -EINVAL);
    assert_int_equal(mm_mprotect(mm, AT, 0, RW), 0);
    assert_int_equal(mm_mprotect(mm, AT, P, 0x40), -EINVAL);
    assert_int_equal(mm_mprotect(mm, AT + 4 * P, P, RW), -ENOMEM);
    assert_int_equal(mm_mprotect(mm, AT, P, RW | PROT_GROWSDOWN), -EINVAL);
    assert_int_equal(mm_mprotect(mm, AT + 3 * P, 2 * P, PROT_READ), -ENOMEM); /* done up to the hole */
    assert_int_equal(prot_at(mm, AT + 3 * P), PROT_READ);
}

static void host_never_executes_guest_pages(void **state)
{
    struct mm *mm = enter(state);
    char line[512];
    map(mm, AT, 1, PROT_READ | PROT_EXEC);
    map(mm, AT + P, 1, RW | PROT_EXEC);
    map(mm, AT + 2 * P, 1, PROT_EXEC);
    mm_mprotect(mm, AT + P, P, PROT_EXEC | PROT_READ);
    assert_int_equal(get(mm, AT + 2 * P), 0);
    FILE *maps = fopen("/proc/self/maps", "re");
    while (fgets(line, sizeof(line), maps)) {
        unsigned long start, end;
        char perms[5];
        assert_int_equal(sscanf(line, "%lx-%lx %4s", &start, &end, perms), 3);
        if (start >= mm_base(mm) && start < mm_base(mm) + mm_limit(mm))
            assert_int_equal(perms[2], '-');
    }
    fclose(maps);
}

/* ---- mremap ---- */

static void resizes(void **state)
{
    struct mm *mm = enter(state);
    map(mm, AT, 4, RW);
    put(mm, AT, 11);
    assert_int_equal(mm_mremap(mm, AT, 4 * P, 2 * P, 0, 0), AT);
    assert_int_equal(prot_at(mm, AT + 2 * P), -1);
    assert_int_equal(get(mm, AT + 2 * P), -EFAULT);
    int64_t grown = mm_mremap(mm, AT, 2 * P, 3 * P, MREMAP_MAYMOVE, 0);
    assert_true(mm_base(mm) ? grown > 0 : grown == (int64_t)AT);
    assert_int_equal(get(mm, (uint64_t)grown), 11);
    assert_int_equal(get(mm, (uint64_t)grown + 2 * P), 0);
    map(mm, (uint64_t)grown + 3 * P, 1, PROT_READ);
    assert_int_equal(mm_mremap(mm, (uint64_t)grown, 3 * P, 4 * P, 0, 0), -ENOMEM);
    int64_t moved = mm_mremap(mm, (uint64_t)grown, 3 * P, 40 * P, MREMAP_MAYMOVE, 0);
    assert_true(moved > 0 && moved != grown);
    assert_int_equal(get(mm, (uint64_t)moved), 11);
    put(mm, (uint64_t)moved + 39 * P, 1);
    assert_int_equal(get(mm, (uint64_t)grown), -EFAULT);
    assert_int_equal(prot_at(mm, (uint64_t)grown), -1);
    assert_int_equal(prot_at(mm, (uint64_t)grown + 3 * P), PROT_READ);
}

static void moves_to_a_place(void **state)
{
    struct mm *mm = enter(state);
    const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
    map(mm, AT, 2, RW);
    put(mm, AT, 5);
    put(mm, AT + P, 6);
    map(mm, AT + 16 * P, 4, PROT_READ);
    assert_int_equal(mm_mremap(mm, AT, 2 * P, 2 * P, MREMAP_FIXED, AT + 16 * P), -EINVAL);
    assert_int_equal(mm_mremap(mm, AT, 2 * P, 2 * P, fixed, AT + P), -EINVAL); /* overlaps */
    assert_int_equal(mm_mremap(mm, AT, 2 * P, 2 * P, fixed, AT + 16 * P + 1), -EINVAL);
    assert_int_equal(mm_mremap(mm, AT, 2 * P, 0, fixed, AT + 16 * P), -EINVAL);
    assert_int_equal(mm_mremap(mm, AT, 2 * P, 2 * P, fixed, mm_limit(mm)), -EINVAL);
    assert_int_equal(mm_mremap(mm, AT + 8 * P, P, P, fixed, AT + 16 * P), -EFAULT);
    assert_int_equal(mm_mremap(mm, AT, 2 * P, 2 * P, fixed, AT + 17 * P), AT + 17 * P);
    assert_int_equal(get(mm, AT + 17 * P), 5);
    assert_int_equal(get(mm, AT + 18 * P), 6);
    assert_int_equal(prot_at(mm, AT + 16 * P), PROT_READ);
    assert_int_equal(prot_at(mm, AT + 17 * P), RW);
    assert_int_equal(prot_at(mm, AT + 19 * P), PROT_READ);
    assert_int_equal(prot_at(mm, AT), -1);
    assert_int_equal(mm_mremap(mm, AT + 17 * P, 2 * P, P, fixed, AT), AT); /* shrinks and moves */
    assert_int_equal(get(mm, AT), 5);
    assert_int_equal(prot_at(mm, AT + 18 * P), -1);
}

static void keeps_the_old_mapping(void **state)
{
    struct mm *mm = enter(state);
    map(mm, AT, 1, RW);
    put(mm, AT, 5);
    int64_t to = mm_mremap(mm, AT, P, P, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */, 0);
    assert_true(to > 0);
    assert_int_equal(get(mm, (uint64_t)to), 5);
    assert_int_equal(get(mm, AT), 0);

    int64_t shared = mm_mmap(mm, 0, P, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int64_t twin = mm_mremap(mm, (uint64_t)shared, 0, P, MREMAP_MAYMOVE, 0);
    assert_true(twin > 0 && twin != shared);
    put(mm, (uint64_t)shared, 8);
    assert_int_equal(get(mm, (uint64_t)twin), 8);
    assert_int_equal(mm_mremap(mm, AT, 0, P, MREMAP_MAYMOVE, 0), -EINVAL); /* private */
}

/* ---- Heap, stacks ---- */

static void heap_grows_and_shrinks(void **state)
{
    struct mm *mm = enter(state);
    mm_set_brk(mm, AT);
    assert_int_equal(mm_brk(mm, 0), AT);
    assert_int_equal(mm_brk(mm, AT + 100), AT + 100);
    assert_int_equal(mm_brk(mm, AT + 3 * P + 1), AT + 3 * P + 1);
    put(mm, AT + 3 * P, 4);
    assert_int_equal(mm_brk(mm, AT + P), AT + P);
    assert_int_equal(get(mm, AT + P), -EFAULT);
    assert_int_equal(mm_brk(mm, AT - 1), AT + P);
    assert_int_equal(mm_brk(mm, UINT64_MAX), AT + P);
    map(mm, AT + 8 * P, 1, RW);
    assert_int_equal(mm_brk(mm, AT + 8 * P), AT + P);
    assert_int_equal(mm_brk(mm, AT + 7 * P), AT + 7 * P);
}

static void stacks_grow(void **state)
{
    struct mm *mm = enter(state);
    const uint64_t guard = MM_GUARD;
    map(mm, AT - 1024 * P, 1, RW);
    assert_int_equal(mm_mmap(mm, AT, P, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0), AT);
    assert_true(mm_grow(mm, AT - 3 * P + 8));
    assert_true(mm_check(mm, AT - 3 * P, 4 * P, RW));
    put(mm, AT - 3 * P, 1);
    assert_false(mm_grow(mm, AT - 1024 * P + guard)); /* too near to what is below */
    assert_false(mm_grow(mm, AT + P));
    /* A hint in the guard gap is not followed; an order is. */
    assert_int_not_equal(mm_mmap(mm, AT - guard, P, RW, ANON, -1, 0), AT - guard);
    assert_int_equal(map(mm, AT - guard, 1, RW), AT - guard);
    assert_int_equal(mm_mprotect(mm, AT, P, PROT_READ | PROT_GROWSDOWN), 0);
    assert_int_equal(prot_at(mm, AT - 3 * P), PROT_READ);
}

/* ---- Advice and locks ---- */

static void advises(void **state)
{
    struct mm *mm = enter(state);
    map(mm, AT, 2, RW);
    map(mm, AT + 3 * P, 1, RW);
    put(mm, AT, 1);
    put(mm, AT + 3 * P, 2);
    assert_int_equal(mm_madvise(mm, AT, 2 * P, MADV_DONTNEED), 0);
    assert_int_equal(get(mm, AT), 0);
    assert_int_equal(mm_madvise(mm, AT, 4 * P, MADV_DONTNEED), -ENOMEM); /* and goes on behind the hole */
    assert_int_equal(get(mm, AT + 3 * P), 0);
    assert_int_equal(mm_madvise(mm, AT + 1, P, MADV_DONTNEED), -EINVAL);
    assert_int_equal(mm_madvise(mm, AT, P, 12345), -EINVAL);
    assert_int_equal(mm_madvise(mm, AT + 2 * P, P, 12345), -EINVAL);
    assert_int_equal(mm_madvise(mm, AT, 0, MADV_DONTNEED), 0);

    unsigned char vector[4] = {0};
    assert_int_equal(mm_mincore(mm, AT, 2 * P, AT + 3 * P), 0);
    assert_int_equal(mm_read(mm, vector, AT + 3 * P, 2), 0);
    assert_int_equal(mm_mincore(mm, AT, 4 * P, AT + 3 * P), -ENOMEM);
    assert_int_equal(mm_mincore(mm, AT, P, mm_limit(mm)), -EFAULT);
    assert_int_equal(mm_mincore(mm, AT + 1, P, AT), -EINVAL);

    assert_int_equal(mm_msync(mm, AT, 2 * P, MS_SYNC), 0);
    assert_int_equal(mm_msync(mm, AT, 4 * P, MS_ASYNC), -ENOMEM);
    assert_int_equal(mm_msync(mm, AT, P, MS_SYNC | MS_ASYNC), -EINVAL);
    assert_int_equal(mm_mlock(mm, AT, 4 * P, 0), -ENOMEM);
    assert_int_equal(mm_munlock(mm, AT, 2 * P), 0);
    assert_int_equal(mm_mlock(mm, AT, P, 64), -EINVAL);
    assert_int_equal(mm_mlockall(mm, 0), -EINVAL);
    assert_int_equal(mm_munlockall(mm), 0);
}

/* ---- System V segments ---- */

static void attaches(void **state)
{
    struct mm *mm = enter(state);
    int id = shmget(IPC_PRIVATE, 3 * P, IPC_CREAT | 0600);
    if (id < 0)
        skip();
    int64_t a = mm_shmat(mm, id, 0, 0), b = mm_shmat(mm, id, AT + 5, SHM_RND | SHM_RDONLY);
    assert_true(a > 0);
    assert_int_equal(b, AT);
    put(mm, (uint64_t)a, 77);
    assert_int_equal(get(mm, AT), 77);
    assert_int_not_equal(mm_write(mm, AT, "x", 1), 0);
    assert_int_equal(mm_shmat(mm, id, AT, 0), -EINVAL);
    assert_int_equal(mm_shmat(mm, id, AT + 5, 0), -EINVAL);
    assert_int_equal(mm_shmat(mm, id, AT, SHM_REMAP), AT);
    assert_int_equal(mm_shmat(mm, -1, 0, 0), -EINVAL);
    mm_munmap(mm, AT + P, P); /* what is left is still detached as one */
    assert_int_equal(mm_shmdt(mm, AT), 0);
    assert_int_equal(prot_at(mm, AT), -1);
    assert_int_equal(prot_at(mm, AT + 2 * P), -1);
    assert_int_equal(mm_shmdt(mm, AT), -EINVAL);
    assert_int_equal(mm_shmdt(mm, (uint64_t)a + P), -EINVAL);
    struct shmid_ds info;
    assert_int_equal(shmctl(id, IPC_STAT, &info), 0);
    assert_int_equal(info.shm_nattch, 1);
    assert_int_equal(mm_shmdt(mm, (uint64_t)a), 0);
    shmctl(id, IPC_RMID, NULL);
}

/* ---- Code, maps ---- */

static void code_hears_of_changes(void **state)
{
    struct mm *mm = enter(state);
    const int rx = PROT_READ | PROT_EXEC;
    told = 0;
    mm_set_code(mm, (struct code *)state);
    map(mm, AT, 4, RW);
    mm_munmap(mm, AT, 4 * P);
    assert_int_equal(told, 0);
    map(mm, AT, 4, rx);
    told = 0;
    map(mm, AT + P, 1, RW);
    expect_told(AT + P, AT + 2 * P);
    mm_mprotect(mm, AT, P, RW);
    expect_told(AT, AT + P);
    mm_mprotect(mm, AT, P, rx);
    expect_told(AT, AT + P);
    mm_madvise(mm, AT, P, MADV_DONTNEED);
    expect_told(AT, AT + P);
    mm_mremap(mm, AT + 2 * P, 2 * P, P, 0, 0);
    expect_told(AT + 2 * P, AT + 4 * P);
    mm_munmap(mm, AT - P, 8 * P);
    expect_told(AT - P, AT + 7 * P);
}

static void prints_maps(void **state)
{
    struct mm *mm = enter(state);
    struct buf text = {0};
    char expected[256], *at;
    int fd = temporary_file(3 * P);
    /* One mapping for the host, two for the guest. */
    mm_mmap(mm, AT, P, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    mm_mmap(mm, AT + P, 2 * P, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, P);
    map(mm, AT + 8 * P, 2, RW);
    mm_name(mm, AT + 9 * P, AT + 10 * P, "[stack]");
    mm_print_maps(mm, "maps", &text);
    at = text.data;
    assert_non_null(at);
    assert_memory_equal(at, "10000000-10001000 r--p 00000000 ", 32);
    at = strchr(at, '\n') + 1;
    assert_memory_equal(at, "10001000-10003000 r-xp 00001000 ", 32);
    assert_memory_equal(at + 73, "/memfd:test (deleted)\n", 22);
    at = strchr(at, '\n') + 1;
    assert_memory_equal(at, "10008000-10009000 rw-p 00000000 00:00 0 \n", 41);
    at = strchr(at, '\n') + 1;
    snprintf(expected, sizeof(expected), "%-73s[stack]\n", "10009000-1000a000 rw-p 00000000 00:00 0 ");
    assert_string_equal(at, expected);
    assert_int_equal(mm_size(mm), 5 * P);

    text.length = 0;
    mm_print_maps(mm, "smaps", &text);
    at = strstr(text.data, "10001000-10003000 r-xp");
    assert_non_null(at);
    assert_memory_equal(strchr(at, '\n') + 1, "Size:                  8 kB\n", 28);
    assert_non_null(strstr(at, "VmFlags:"));
    buf_release(&text);
    close(fd);
}

/* ---- Limits, fork ---- */

static void in_child(void (*body)(void))
{
    pid_t child = fork();
    if (!child) {
        body();
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                       \
        }                                                                   \
    } while (0)

static void use_limited(struct mm *mm)
{
    CHECK(map(mm, AT, 4, RW) == (int64_t)AT);
    CHECK(mm_munmap(mm, AT + P, P) == 0);
    CHECK(get(mm, AT + P) == -EFAULT);
    CHECK(mm_mremap(mm, AT + 2 * P, 2 * P, 8 * P, 0, 0) == (int64_t)(AT + 2 * P));
    CHECK(mm_mmap(mm, 0, (uint64_t)8 << 30, RW, ANON, -1, 0) == -ENOMEM);
    CHECK(mm_mmap(mm, 0, P, RW, ANON, -1, 0) > 0);
}

static void limit_addresses(void)
{
    CHECK(!setrlimit(RLIMIT_AS, &(struct rlimit){(rlim_t)1 << 30, (rlim_t)1 << 30}));
}

static void starts_limited(void)
{
    struct mm *mm;
    limit_addresses();
    CHECK(!mm_new(&mm, 39, NULL));
    use_limited(mm);
}

static void becomes_limited(void)
{
    struct mm *mm;
    CHECK(!mm_new(&mm, 39, NULL));
    CHECK(map(mm, AT - 4 * P, 1, RW) > 0);
    mm_unreserve(mm);
    limit_addresses();
    use_limited(mm);
}

static void lives_with_limits(void **state)
{
    enter(state);
    if (host_sanitize_has_shadow())
        skip();
    in_child(starts_limited);
    in_child(becomes_limited);
}

static void survives_fork(void **state)
{
    struct mm *mm = enter(state);
    map(mm, AT, 1, RW);
    mm_fork_prepare(mm);
    pid_t child = fork();
    mm_fork_done(mm);
    if (!child)
        _exit(map(mm, AT + P, 1, RW) == (int64_t)(AT + P) ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(prot_at(mm, AT + P), -1);
}

static void sizes(void **state)
{
    struct mm *mm;
    struct guise_error err;
    (void)state;
    assert_int_equal(mm_new(&mm, 38, &err), GUISE_E_CONFIG);
    assert_int_equal(mm_new(&mm, 47, &err), GUISE_E_CONFIG);
    if (host_sanitize_has_shadow())
        return;
    assert_int_equal(mm_new(&mm, 46, &err), 0);
    assert_int_equal(mm_limit(mm), (uint64_t)1 << 45);
    assert_int_equal(mm_base(mm), 0);
    mm_free(mm);
}

/* ---- Many ---- */

static void sixty_thousand(void **state)
{
    struct mm *mm = enter(state);
    const unsigned count = 60000;
    for (unsigned i = 0; i < count; i++)
        assert_true(mm_mmap(mm, 0, P, i % 2 ? PROT_READ : RW, ANON, -1, 0) > 0);
    uint64_t low = mm_layout(mm)->high - count * P;
    assert_true(mm_check(mm, low, count * P, PROT_READ));
    assert_int_equal(mm_munmap(mm, low + 30000 * P, 2 * P), 0);
    assert_int_equal(mm_mmap(mm, 0, 2 * P, RW, ANON, -1, 0), low + 30000 * P);
    assert_int_equal(mm_munmap(mm, low, count * P), 0);
    assert_int_equal(mm_size(mm), 0);
}

/* ---- A random walk ---- */

#define WINDOW 64

struct model {
    int prot[WINDOW]; /* -1: not mapped */
    int value[WINDOW];
};

static unsigned next(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

static void compare(struct mm *mm, const struct model *m)
{
    for (unsigned i = 0; i < WINDOW; i++) {
        uint64_t at = AT + i * P;
        assert_int_equal(prot_at(mm, at), m->prot[i]);
        assert_int_equal(get(mm, at), m->prot[i] > 0 ? m->value[i] : -EFAULT);
    }
}

static void step(struct mm *mm, struct model *m, unsigned *seed)
{
    static const int prots[] = {PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC, RW | PROT_EXEC};
    unsigned i = next(seed) % WINDOW, n = 1 + next(seed) % MIN(8u, WINDOW - i), j = next(seed) % WINDOW;
    uint64_t at = AT + i * P;
    int prot = prots[next(seed) % 5];
    bool whole = true, apart = j + n <= WINDOW && (j + n <= i || i + n <= j);
    for (unsigned k = 0; k < n; k++)
        whole &= m->prot[i + k] >= 0 && m->prot[i + k] == m->prot[i];
    switch (next(seed) % 5) {
    case 0:
        assert_int_equal(map(mm, at, n, prot), at);
        for (unsigned k = 0; k < n; k++)
            m->prot[i + k] = prot, m->value[i + k] = 0;
        break;
    case 1:
        assert_int_equal(mm_munmap(mm, at, n * P), 0);
        for (unsigned k = 0; k < n; k++)
            m->prot[i + k] = -1;
        break;
    case 2: {
        unsigned k = 0;
        for (; k < n && m->prot[i + k] >= 0; k++)
            m->prot[i + k] = prot;
        assert_int_equal(mm_mprotect(mm, at, n * P, prot), k < n ? -ENOMEM : 0);
        break;
    }
    case 3:
        if (m->prot[i] > 0 && m->prot[i] & PROT_WRITE)
            put(mm, at, m->value[i] = (int)next(seed) + 1);
        break;
    default:
        /* The host moves what is one mapping for it; pages of one kind may still be several. */
        if (!whole || !apart)
            break;
        bool moved = mm_mremap(mm, at, n * P, n * P, MREMAP_MAYMOVE | MREMAP_FIXED, AT + j * P) > 0;
        for (unsigned k = 0; k < n; k++) {
            m->prot[j + k] = moved ? m->prot[i + k] : -1;
            m->value[j + k] = m->value[i + k];
            m->prot[i + k] = moved ? -1 : m->prot[i + k];
        }
    }
}

static void random_walk(void **state)
{
    struct mm *mm = enter(state);
    struct model m;
    unsigned seed = 1;
    memset(m.prot, -1, sizeof(m.prot));
    for (unsigned i = 0; i < 6000; i++) {
        step(mm, &m, &seed);
        if (i % 8 == 0)
            compare(mm, &m);
    }
}

#define MM_TEST(name) cmocka_unit_test_setup_teardown(name, mm_setup, mm_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MM_TEST(places_downwards),
        MM_TEST(mmap_errors),
        MM_TEST(failed_mapping_leaves_order),
        MM_TEST(fixed_replaces_the_middle),
        MM_TEST(file_beyond_its_end),
        MM_TEST(protects),
        MM_TEST(host_never_executes_guest_pages),
        MM_TEST(resizes),
        MM_TEST(moves_to_a_place),
        MM_TEST(keeps_the_old_mapping),
        MM_TEST(heap_grows_and_shrinks),
        MM_TEST(stacks_grow),
        MM_TEST(advises),
        MM_TEST(attaches),
        MM_TEST(code_hears_of_changes),
        MM_TEST(prints_maps),
        cmocka_unit_test(lives_with_limits),
        MM_TEST(survives_fork),
        cmocka_unit_test(sizes),
        MM_TEST(sixty_thousand),
        MM_TEST(random_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
