/* The bus: where harts and devices meet. A device registers regions of guest physical addresses; an access of a hart,
 * or of a device that writes an interrupt message, is carried to the region that holds it. RAM is not on the bus:
 * gmem.h.
 *
 * Threads: harts run on several host threads. bus_access() may be called from any of them and looks up without a lock.
 * The bus takes the region's lock around the device's op, so a device with one lock for all its regions, timers and
 * backend events needs no further thought; a region without a lock belongs to a device that says that it is safe by
 * itself. A device may map and unmap regions, set irq lines and send messages while its lock is held. Locks are taken
 * in one direction: bridge, device, interrupt controller, hart; a controller never calls a device.
 *
 * Lifetime: a region and its device outlive the bus's last access: unmapping a region does not wait for accesses under
 * way.
 *
 * Guest mistakes (no device, a size or alignment that the device does not have) are BUS_FAULT, which a hart takes as
 * an access fault. */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include <guise.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    BUS_MAX_REGIONS = 2048,
    BUS_MAX_BEHIND = 8,
};

enum bus_result {
    BUS_OK,
    BUS_FAULT,
};

struct bus_access {
    uint64_t address; /* gpa; for a device the offset in its region */
    uint64_t value;   /* to be written, or what was read; bits beyond `size` are 0 */
    uint8_t size;     /* bytes: 1, 2, 4, 8 */
    bool is_write;
};

struct bus_ops {
    /* The access has one of `sizes` and is aligned to it. */
    enum bus_result (*access)(void *device, struct bus_access *access);
    uint8_t sizes; /* accepted sizes, ORed: 1 | 2 | 4 | 8 */
};

/* Filled by the device, borrowed by the bus while mapped. */
struct bus_region {
    const char *name;
    uint64_t length; /* bytes */
    const struct bus_ops *ops;
    void *device;
    pthread_mutex_t *lock; /* NULL: the device is safe by itself */
};

struct bus_table;

struct bus {
    pthread_mutex_t lock;     /* of those that map and unmap */
    _Atomic uint64_t version; /* the published table is tables[version % 2] */
    struct bus_table *tables[2];
    struct {
        uint64_t base;
        struct bus_region *region;
    } behind[BUS_MAX_BEHIND];
    unsigned behind_count;
};

int bus_init(struct bus *bus, struct guise_error *err);
void bus_release(struct bus *bus);

/* GUISE_E_CONFIG when the region is empty, wraps around or meets another; GUISE_E_NOMEM when there are too many. */
int bus_map(struct bus *bus, struct bus_region *region, uint64_t base, struct guise_error *err);

/* Maps a region that is seen where no other one is, before anything runs. It stays. */
int bus_map_behind(struct bus *bus, struct bus_region *region, uint64_t base, struct guise_error *err);

/* Returns false when it was not mapped. */
bool bus_unmap(struct bus *bus, struct bus_region *region);

/* The region that holds an address and its base (`base` may be NULL), or NULL. */
struct bus_region *bus_find(struct bus *bus, uint64_t address, uint64_t *base);

/* Carries out an access; after a read that was BUS_OK, access->value has what was read. */
enum bus_result bus_access(struct bus *bus, struct bus_access *access);

enum bus_result bus_read(struct bus *bus, uint64_t address, unsigned size, uint64_t *value);
enum bus_result bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value);

/* One access to a region that was found before, `access->address` being an offset in it. */
enum bus_result bus_region_access(const struct bus_region *region, struct bus_access *access);

#endif
