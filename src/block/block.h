/* A disk: what a block device stands on at the host. A backend implements struct block_ops, one device submits
 * requests.
 *
 * Nothing is reported done before it is. A flush covers all writes that were reported done before it was submitted;
 * requests under way at the same time are in no order.
 * Threads: block_submit() is called with the client's lock held and does not wait for the disk. A request's `done` is
 * called on a thread of the backend's without any lock.
 * Lifetime: a request and its memory are the backend's from submission until it is done. block_release() ends the
 * backend's threads; the client has drained it before.
 * Errors: 0 or -errno. */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum { BLOCK_PENDING = 1 }; /* not done yet */

enum block_kind {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,
    BLOCK_DISCARD, /* the contents are of no use any more; may do nothing */
    BLOCK_ZERO,
};

struct block_request {
    enum block_kind kind;
    bool durable;            /* BLOCK_WRITE, BLOCK_ZERO: done means as safe as after a flush */
    bool unmap;              /* BLOCK_ZERO: the disk may give its space back */
    uint64_t offset, length; /* bytes, within the disk */
    const struct iovec *iov; /* of BLOCK_READ and BLOCK_WRITE: `length` bytes together; borrowed */
    unsigned iov_count;
    void (*done)(struct block_request *request, int result);
    struct block_request *next; /* the backend's */
};

struct block;

struct block_ops {
    int (*submit)(struct block *block, struct block_request *request);
    void (*drain)(struct block *block);
    void (*release)(struct block *block);
};

/* Embedded at the start of each backend. */
struct block {
    const struct block_ops *ops;
    uint64_t length; /* bytes */
    bool read_only;  /* then only BLOCK_READ and BLOCK_FLUSH are submitted */
};

/* BLOCK_PENDING, or the result of a request that was done at once, whose `done` is not called. */
static inline int block_submit(struct block *block, struct block_request *request)
{
    return block->ops->submit(block, request);
}

/* Returns when each request has been done. Without the client's lock, and while nothing is submitted. */
static inline void block_drain(struct block *block)
{
    block->ops->drain(block);
}

static inline void block_release(struct block *block)
{
    block->ops->release(block);
}

#endif
