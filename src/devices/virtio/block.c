#include "devices/virtio/block.h"

#include <assert.h>
#include <string.h>

#define F_SEG_MAX      VIRTIO_F(2)
#define F_RO           VIRTIO_F(5)
#define F_BLK_SIZE     VIRTIO_F(6)
#define F_FLUSH        VIRTIO_F(9)
#define F_TOPOLOGY     VIRTIO_F(10)
#define F_MQ           VIRTIO_F(12)
#define F_DISCARD      VIRTIO_F(13)
#define F_WRITE_ZEROES VIRTIO_F(14)

enum { SECTOR = 512, PAGE_SECTORS = 8, MAX_DISCARD = 1 << 22, MAX_ZERO = 1 << 16 };
enum {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_WRITE_ZEROES = 13
};
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2, PENDING = -1 };
enum { RANGE_UNMAP = 1 };

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct range {
    uint64_t sector;
    uint32_t sectors, flags;
};

/* ---- Completion ---- */

static uint8_t status_of(int result)
{
    return result ? STATUS_IOERR : STATUS_OK;
}

/* A read that failed has written nothing that could be counted. */
static void complete(struct virtio_block *vb, struct virtio_block_request *r, uint8_t status)
{
    uint32_t data = r->chain.writable_length;
    *r->status = status;
    virtq_mark(&vb->queues[r->queue], &r->chain, data);
    gmem_mark(vb->device.mem, r->status_gpa, 1);
    virtio_push(&vb->device, r->queue, &r->chain, status == STATUS_OK || !data ? data + 1 : 0);
    r->next = vb->free;
    vb->free = r;
}

static void kick_starved(struct virtio_block *vb)
{
    for (unsigned i = 0; vb->starved >> i; i++)
        if (vb->starved >> i & 1)
            virtio_kick(&vb->device, i);
    vb->starved = 0;
}

static void on_done(struct block_request *io, int result)
{
    struct virtio_block_request *r = (struct virtio_block_request *)io;
    struct virtio_block *vb = r->device;
    pthread_mutex_lock(&vb->device.lock);
    complete(vb, r, status_of(result));
    virtio_interrupt(&vb->device, r->queue);
    kick_starved(vb);
    pthread_mutex_unlock(&vb->device.lock);
}

/* ---- Requests ---- */

/* The header goes off the front of what is readable, the status off the end of what is writable. */
static bool unwrap(struct virtio_block_request *r, struct header *header)
{
    struct virtq_chain *c = &r->chain;
    if (virtq_read(c, 0, header, sizeof(*header)) != sizeof(*header) || !c->writable)
        return false;
    unsigned last = c->readable + c->writable - 1u;
    size_t status_at = --c->iov[last].iov_len;
    r->status = (uint8_t *)c->iov[last].iov_base + status_at;
    r->status_gpa = c->gpa[last] + status_at;
    c->writable_length--;
    c->writable = (uint16_t)(c->writable - !status_at);
    return true;
}

/* What is readable behind the header. */
static void skip_header(struct virtio_block_request *r)
{
    struct virtq_chain *c = &r->chain;
    size_t left = sizeof(struct header);
    unsigned first = 0;
    while (first < c->readable && c->iov[first].iov_len <= left)
        left -= c->iov[first++].iov_len;
    if (first < c->readable) {
        c->iov[first].iov_base = (uint8_t *)c->iov[first].iov_base + left;
        c->iov[first].iov_len -= left;
    }
    r->io.iov = c->iov + first;
    r->io.iov_count = c->readable - first;
}

static bool on_disk(const struct virtio_block *vb, uint64_t sector, uint64_t sectors)
{
    return sector <= vb->space.capacity && sectors <= vb->space.capacity - sector;
}

static int submit(struct virtio_block *vb, struct virtio_block_request *r)
{
    int result = block_submit(vb->block, &r->io);
    return result == BLOCK_PENDING ? PENDING : status_of(result);
}

/* A driver that does not flush is told of a write when it is safe. */
static bool durable(const struct virtio_block *vb)
{
    return !virtio_has(&vb->device, F_FLUSH);
}

static int transfer(struct virtio_block *vb, struct virtio_block_request *r, uint64_t sector, uint32_t length)
{
    if (length % SECTOR || !on_disk(vb, sector, length / SECTOR))
        return STATUS_IOERR;
    r->io.offset = sector * SECTOR;
    r->io.length = length;
    return length ? submit(vb, r) : STATUS_OK;
}

static int read_sectors(struct virtio_block *vb, struct virtio_block_request *r, const struct header *header)
{
    r->io.kind = BLOCK_READ;
    r->io.iov = virtq_writable(&r->chain);
    r->io.iov_count = r->chain.writable;
    return transfer(vb, r, header->sector, r->chain.writable_length);
}

static int write_sectors(struct virtio_block *vb, struct virtio_block_request *r, const struct header *header)
{
    if (vb->block->read_only)
        return STATUS_IOERR;
    r->io.kind = BLOCK_WRITE;
    r->io.durable = durable(vb);
    skip_header(r);
    return transfer(vb, r, header->sector, r->chain.readable_length - (uint32_t)sizeof(*header));
}

/* Discard and write zeroes: the space says that a request has one range. */
static int change_range(struct virtio_block *vb, struct virtio_block_request *r, enum block_kind kind)
{
    struct range range;
    uint32_t allowed = kind == BLOCK_ZERO ? RANGE_UNMAP : 0,
             most = kind == BLOCK_ZERO ? MAX_ZERO : MAX_DISCARD;
    if (vb->block->read_only || r->chain.readable_length != sizeof(struct header) + sizeof(range))
        return STATUS_IOERR;
    virtq_read(&r->chain, sizeof(struct header), &range, sizeof(range));
    if (range.flags & ~allowed)
        return STATUS_UNSUPP;
    if (range.sectors > most || !on_disk(vb, range.sector, range.sectors))
        return STATUS_IOERR;
    r->io.kind = kind;
    r->io.durable = durable(vb);
    r->io.unmap = range.flags & RANGE_UNMAP;
    r->io.offset = range.sector * SECTOR;
    r->io.length = (uint64_t)range.sectors * SECTOR;
    return range.sectors ? submit(vb, r) : STATUS_OK;
}

static int get_id(const struct virtio_block *vb, const struct virtio_block_request *r)
{
    if (r->chain.writable_length != sizeof(vb->serial))
        return STATUS_IOERR;
    virtq_write(&r->chain, 0, vb->serial, sizeof(vb->serial));
    return STATUS_OK;
}

/* Returns a status, or PENDING. */
static int begin(struct virtio_block *vb, struct virtio_block_request *r, const struct header *header)
{
    r->io = (struct block_request){.done = on_done};
    switch (header->type) {
    case TYPE_IN: return read_sectors(vb, r, header);
    case TYPE_OUT: return write_sectors(vb, r, header);
    case TYPE_FLUSH: r->io.kind = BLOCK_FLUSH; return submit(vb, r);
    case TYPE_GET_ID: return get_id(vb, r);
    case TYPE_DISCARD: return change_range(vb, r, BLOCK_DISCARD);
    case TYPE_WRITE_ZEROES: return change_range(vb, r, BLOCK_ZERO);
    default: return STATUS_UNSUPP;
    }
}

/* Returns false when there is no more to do. */
static bool serve_one(struct virtio_block *vb, unsigned queue)
{
    struct virtio_block_request *r = vb->free;
    struct header header;
    if (!virtio_pop(&vb->device, queue, &r->chain))
        return false;
    if (!unwrap(r, &header)) {
        virtio_break(&vb->device);
        return false;
    }
    vb->free = r->next;
    r->queue = queue;
    int status = begin(vb, r, &header);
    if (status != PENDING)
        complete(vb, r, (uint8_t)status);
    return true;
}

static void kick(struct virtio_device *device, unsigned queue)
{
    struct virtio_block *vb = (struct virtio_block *)device;
    uint16_t used = vb->queues[queue].next_used;
    unsigned count = 0;
    while (vb->free && count < VIRTQ_MAX_SIZE && serve_one(vb, queue))
        count++;
    if (!vb->free)
        vb->starved |= 1u << queue;
    else if (count == VIRTQ_MAX_SIZE)
        virtio_kick(device, queue); /* others have their turn first */
    if (vb->queues[queue].next_used != used)
        virtio_interrupt(device, queue);
}

/* ---- Life ---- */

static void drain(struct virtio_device *device)
{
    block_drain(((struct virtio_block *)device)->block);
}

static void reset(struct virtio_device *device)
{
    ((struct virtio_block *)device)->starved = 0;
}

static const struct virtio_ops ops = {.kick = kick, .drain = drain, .reset = reset};

static struct virtio_block_space space_of(const struct block *block, unsigned queues)
{
    return (struct virtio_block_space){
        .capacity = block->length / SECTOR,
        .seg_max = VIRTQ_MAX_SEGMENTS - 2,
        .block_size = SECTOR,
        .physical_block_exponent = 3, /* pages: what the host's cache has */
        .min_io_size = PAGE_SECTORS,
        .writeback = 1,
        .queues = (uint16_t)queues,
        .max_discard_sectors = MAX_DISCARD,
        .max_discard_segments = 1,
        .discard_alignment = PAGE_SECTORS,
        .max_zero_sectors = MAX_ZERO,
        .max_zero_segments = 1,
        .zero_may_unmap = 1,
    };
}

void virtio_block_init(struct virtio_block *vb, struct block *block, const char *serial, unsigned queues,
                       const struct gmem *mem, struct task_runner runner)
{
    assert(queues && queues <= VIRTIO_BLOCK_MAX_QUEUES);
    *vb = (struct virtio_block){.block = block, .space = space_of(block, queues)};
    memcpy(vb->serial, serial, strnlen(serial, sizeof(vb->serial)));
    for (unsigned i = 0; i < VIRTIO_BLOCK_REQUESTS; i++) {
        vb->requests[i].device = vb;
        vb->requests[i].next = vb->free;
        vb->free = &vb->requests[i];
    }
    struct virtio_config config = {
        .id = VIRTIO_ID_BLOCK,
        .ops = &ops,
        .features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_MQ |
                    (block->read_only ? F_RO : F_DISCARD | F_WRITE_ZEROES),
        .space = &vb->space,
        .space_length = sizeof(vb->space),
        .queues = vb->queues,
        .queue_count = queues,
    };
    virtio_init(&vb->device, &config, mem, runner);
}

void virtio_block_release(struct virtio_block *vb)
{
    block_drain(vb->block);
    virtio_release(&vb->device);
}

/* ---- State ---- */

static const struct state_field fields[] = {
    F_STRUCT(struct virtio_block, device, struct virtio_device, virtio_device_state),
    F_TRANSIENT(struct virtio_block, block),
    F_TRANSIENT(struct virtio_block, space),
    F_TRANSIENT(struct virtio_block, serial),
    F_TRANSIENT(struct virtio_block, starved),
    F_STRUCT(struct virtio_block, queues, struct virtq, virtq_state),
    F_TRANSIENT(struct virtio_block, free),
    F_TRANSIENT(struct virtio_block, requests),
};

static void loaded(void *object)
{
    struct virtio_block *vb = object;
    virtio_loaded(&vb->device);
}

const struct state_table virtio_block_state = {.name = "virtio-block",
                                               .version = 1,
                                               .size = sizeof(struct virtio_block),
                                               STATE_FIELDS(fields),
                                               .loaded = loaded};
