/* Virtio block device: read, write, flush, discard, write zeroes, several queues.
 *
 * Threads: as device.h; requests are completed on the backend's threads, in any order.
 * Lifetime: virtio_block_init() ... virtio_block_release(). The backend outlives the device. State is saved while no
 * request is under way: the machine is stopped and block_drain() has returned.
 * Source: Virtual I/O Device (VIRTIO) Version 1.2, section 5.2. */
#ifndef DEVICES_VIRTIO_BLOCK_H
#define DEVICES_VIRTIO_BLOCK_H

#include "block/block.h"
#include "devices/virtio/device.h"

enum {
    VIRTIO_BLOCK_MAX_QUEUES = 8,
    VIRTIO_BLOCK_REQUESTS = 64, /* under way at the same time */
    VIRTIO_BLOCK_SERIAL = 20,   /* bytes */
};

/* struct virtio_blk_config, of which the device has all up to discard and write zeroes. */
struct virtio_block_space {
    uint64_t capacity; /* sectors of 512 bytes */
    uint32_t size_max, seg_max;
    uint32_t geometry;
    uint32_t block_size;
    uint8_t physical_block_exponent, alignment_offset;
    uint16_t min_io_size;
    uint32_t optimal_io_size;
    uint8_t writeback, unused0;
    uint16_t queues;
    uint32_t max_discard_sectors, max_discard_segments, discard_alignment;
    uint32_t max_zero_sectors, max_zero_segments;
    uint8_t zero_may_unmap, unused1[3];
};

struct virtio_block;

struct virtio_block_request {
    struct block_request io;
    struct virtio_block *device;
    struct virtio_block_request *next; /* free ones */
    unsigned queue;
    uint8_t *status; /* its last writable byte */
    uint64_t status_gpa;
    struct virtq_chain chain; /* without header and status */
};

struct virtio_block {
    struct virtio_device device;
    struct block *block;
    struct virtio_block_space space;
    char serial[VIRTIO_BLOCK_SERIAL];
    uint32_t starved; /* a bit for each queue that waits for a free request */
    struct virtq queues[VIRTIO_BLOCK_MAX_QUEUES];
    struct virtio_block_request *free;
    struct virtio_block_request requests[VIRTIO_BLOCK_REQUESTS];
};

/* `serial` (copied, cut after 20 bytes) is what the guest reads as the disk's; `queues` is at most
 * VIRTIO_BLOCK_MAX_QUEUES. */
void virtio_block_init(struct virtio_block *vb, struct block *block, const char *serial, unsigned queues,
                       const struct gmem *mem, struct task_runner runner);
void virtio_block_release(struct virtio_block *vb);

extern const struct state_table virtio_block_state;

#endif
