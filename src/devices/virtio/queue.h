/* Split virtqueues, the device's side. virtq_pop() reads a descriptor chain once, checks it and copies it: what the
 * guest does to its descriptors afterwards changes nothing, and a device sees only host addresses of guest memory that
 * is there.
 *
 * Threads: the device's lock is held in each call. Lifetime: a chain's addresses are good as long as the guest's
 * memory; the guest gets its buffers back by virtq_push(), once for each chain.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, sections 2.6 and 2.7. */
#ifndef DEVICES_VIRTIO_QUEUE_H
#define DEVICES_VIRTIO_QUEUE_H

#include "bus/gmem.h"
#include "bus/state.h"

#include <sys/uio.h>

enum {
    VIRTQ_MAX_SIZE = 256,     /* entries */
    VIRTQ_MAX_SEGMENTS = 256, /* descriptors of a chain */
};

/* What a driver laid out in memory; little-endian as the host is. */
struct virtq_desc {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct virtq_avail;
struct virtq_used;

struct virtq {
    const struct gmem *mem;
    /* Where the three parts are at the host; NULL unless the queue runs. */
    const struct virtq_desc *descs;
    struct virtq_avail *avails;
    struct virtq_used *useds;
    bool event_index, indirect; /* negotiated */
    bool kicks_off;             /* the driver was told that it need not notify */

    uint64_t desc, avail, used; /* gpa of descriptor table, driver area, device area */
    uint16_t size;              /* entries, a power of two */
    bool ready;                 /* the driver has handed the queue over */
    uint16_t next_avail;        /* what is popped next */
    uint16_t next_used;         /* what is pushed next */
    uint16_t signalled;         /* next_used when the driver was interrupted last */
    bool signalled_valid;
};

/* A request: what the device may read, then what it may write. The segments that the device may write follow those that
 * it may read. */
struct virtq_chain {
    uint16_t head;                             /* index of its first descriptor */
    uint16_t readable, writable;               /* segments */
    uint32_t readable_length, writable_length; /* bytes */
    struct iovec iov[VIRTQ_MAX_SEGMENTS];
    uint64_t gpa[VIRTQ_MAX_SEGMENTS]; /* of each segment */
};

enum virtq_result {
    VIRTQ_CHAIN,
    VIRTQ_EMPTY,
    VIRTQ_MALFORMED, /* the driver broke the rules; the queue must not be used before a reset */
};

/* As after a reset: not ready, `size` entries. */
void virtq_reset(struct virtq *q, const struct gmem *mem, uint16_t size);

/* Takes the queue that the driver laid out at desc, avail and used. False, and the queue not ready, when it is not in
 * RAM or not aligned. Progress is kept. */
bool virtq_enable(struct virtq *q, bool event_index, bool indirect);

enum virtq_result virtq_pop(struct virtq *q, struct virtq_chain *chain);

/* Takes back the last `count` pops: the chains will be popped again. */
void virtq_unpop(struct virtq *q, uint16_t count);

/* Tells the driver whether it must notify of new chains. Returns true when there are some already. */
bool virtq_want_kicks(struct virtq *q, bool want);

/* Hands a chain back of which `written` bytes were written, and marks these dirty. */
void virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t written);

/* The same in two steps, for several that must be seen together: fill the entries 0 to count - 1, then publish. */
void virtq_fill(struct virtq *q, uint16_t index, uint16_t head, uint32_t written);
void virtq_publish(struct virtq *q, uint16_t count);

/* After pushes: does the driver want an interrupt? */
bool virtq_should_interrupt(struct virtq *q);

extern const struct state_table virtq_state;

/* ---- Chains ---- */

static inline struct iovec *virtq_writable(struct virtq_chain *chain)
{
    return chain->iov + chain->readable;
}

/* Copies out of the readable and into the writable part; returns how many bytes there were. */
size_t virtq_read(const struct virtq_chain *chain, size_t offset, void *to, size_t length);
size_t virtq_write(const struct virtq_chain *chain, size_t offset, const void *from, size_t length);

/* The first `length` bytes of the writable part were written. */
void virtq_mark(const struct virtq *q, const struct virtq_chain *chain, uint32_t length);

#endif
