#include "bus/gmem.h"

#include "base/error.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void gmem_init(struct gmem *m)
{
    *m = (struct gmem){.count = 0};
}

/* The bytes of the pages, and behind them, with a cache line of its own, the count. */
static size_t marks_offset(uint64_t length)
{
    return ALIGN_UP(length / GMEM_PAGE, (uint64_t)64);
}

static size_t dirty_bytes(uint64_t length)
{
    return marks_offset(length) + sizeof(uint64_t);
}

static void block_release(struct gmem_block *b)
{
    if (b->dirty)
        munmap((void *)b->dirty, dirty_bytes(b->length));
    if (b->host)
        munmap(b->host, b->length);
    if (b->fd >= 0)
        close(b->fd);
}

void gmem_release(struct gmem *m)
{
    for (unsigned i = 0; i < m->count; i++)
        block_release(&m->blocks[i]);
    gmem_init(m);
}

/* ---- Blocks ---- */

/* Sealed, so that no one who shares the file can pull pages from under the monitor. */
static int create_file(uint64_t length)
{
    int fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, (off_t)length) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return -error;
}

static void *map(uint64_t length, int flags, int fd)
{
    void *host = mmap(NULL, length, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
    return host == MAP_FAILED ? NULL : host;
}

/* 0 or -errno. */
static int block_map(struct gmem_block *b)
{
    b->fd = create_file(b->length);
    if (b->fd < 0)
        return b->fd;
    b->host = map(b->length, MAP_SHARED, b->fd);
    b->dirty = map(dirty_bytes(b->length), MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (!b->host || !b->dirty)
        return -errno;
    b->marks = (_Atomic uint64_t *)(b->dirty + marks_offset(b->length));
    madvise(b->host, b->length, MADV_HUGEPAGE);
    return 0;
}

static bool valid_range(uint64_t base, uint64_t length)
{
    return length && base % GMEM_PAGE == 0 && length % GMEM_PAGE == 0 && base + (length - 1) >= base;
}

/* Where a block at `base` belongs, or -1 when it meets another. */
static int find_place(const struct gmem *m, uint64_t base, uint64_t length)
{
    unsigned i = 0;
    while (i < m->count && m->blocks[i].base < base)
        i++;
    bool meets = (i > 0 && base - m->blocks[i - 1].base < m->blocks[i - 1].length) ||
                 (i < m->count && m->blocks[i].base - base < length);
    return meets ? -1 : (int)i;
}

int gmem_add(struct gmem *m, enum gmem_kind kind, uint64_t base, uint64_t length, struct guise_error *err)
{
    int place = valid_range(base, length) ? find_place(m, base, length) : -1;
    if (place < 0 || m->count == GMEM_MAX_BLOCKS)
        return error_set(err, GUISE_E_CONFIG,
                         "no room for guest memory at 0x%llx, 0x%llx bytes: blocks are of whole pages, "
                         "do not overlap, and are %d at most",
                         (unsigned long long)base, (unsigned long long)length, GMEM_MAX_BLOCKS);
    struct gmem_block b = {.base = base, .length = length, .fd = -1, .kind = kind};
    int error = block_map(&b);
    if (error) {
        block_release(&b);
        return error_set_errno(err, GUISE_E_NOMEM, -error, "%llu MiB of guest memory",
                               (unsigned long long)(length >> 20));
    }
    struct gmem_block *to = &m->blocks[place];
    memmove(to + 1, to, (m->count - (unsigned)place) * sizeof(*to));
    *to = b;
    m->count++;
    return 0;
}

const struct gmem_block *gmem_find(const struct gmem *m, uint64_t gpa)
{
    for (unsigned i = 0; i < m->count; i++)
        if (gpa - m->blocks[i].base < m->blocks[i].length)
            return &m->blocks[i];
    return NULL;
}

/* ---- Access ---- */

static const struct gmem_block *find_range(const struct gmem *m, uint64_t gpa, uint64_t length)
{
    const struct gmem_block *b = gmem_find(m, gpa);
    return b && length <= b->length - (gpa - b->base) ? b : NULL;
}

static void block_mark(const struct gmem_block *b, uint64_t offset, uint64_t length)
{
    if (!length)
        return;
    for (uint64_t page = offset / GMEM_PAGE; page <= (offset + length - 1) / GMEM_PAGE; page++)
        atomic_store_explicit(&b->dirty[page], 0xff, memory_order_release);
    atomic_fetch_add_explicit(b->marks, 1, memory_order_release);
}

void *gmem_slice(const struct gmem *m, uint64_t gpa, uint64_t length, enum gmem_use use)
{
    const struct gmem_block *b = find_range(m, gpa, length);
    if (!b || (use == GMEM_WRITE && b->kind == GMEM_ROM))
        return NULL;
    if (use == GMEM_WRITE)
        block_mark(b, gpa - b->base, length);
    return b->host + (gpa - b->base);
}

void gmem_mark(const struct gmem *m, uint64_t gpa, uint64_t length)
{
    const struct gmem_block *b = find_range(m, gpa, length);
    if (b)
        block_mark(b, gpa - b->base, length);
}

bool gmem_read(const struct gmem *m, uint64_t gpa, void *to, uint64_t length)
{
    const struct gmem_block *b = find_range(m, gpa, length);
    if (b)
        memcpy(to, b->host + (gpa - b->base), length);
    return b;
}

bool gmem_load(const struct gmem *m, uint64_t gpa, const void *from, uint64_t length)
{
    const struct gmem_block *b = find_range(m, gpa, length);
    if (!b)
        return false;
    memcpy(b->host + (gpa - b->base), from, length);
    block_mark(b, gpa - b->base, length);
    return true;
}

bool gmem_write(const struct gmem *m, uint64_t gpa, const void *from, uint64_t length)
{
    const struct gmem_block *b = gmem_find(m, gpa);
    return b && b->kind == GMEM_RAM && gmem_load(m, gpa, from, length);
}

uint64_t gmem_take_dirty(const struct gmem_block *b, enum gmem_watcher watcher, uint64_t *bits)
{
    uint64_t count = 0;
    for (uint64_t page = 0; page < b->length / GMEM_PAGE; page++) {
        if (!(atomic_load_explicit(&b->dirty[page], memory_order_relaxed) & watcher))
            continue;
        atomic_fetch_and(&b->dirty[page], (uint8_t)~watcher);
        bits[page / 64] |= (uint64_t)1 << page % 64;
        count++;
    }
    return count;
}
