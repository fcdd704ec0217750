/* Two tables take turns: one is published and not changed, the next is built in the other. A table is so changed at
 * the earliest when another has been published, and a look-up that finds its version still current has read what was
 * published together. Entries are loaded with acquire and stored with release, so whoever reads an entry of a table
 * that is being rebuilt also sees the version that came before. */
#include "bus/bus.h"

#include "base/error.h"

#include <stdatomic.h>
#include <stdlib.h>

struct bus_entry {
    _Atomic uint64_t base, last; /* the last address, so that a region may end where addresses do */
    struct bus_region *_Atomic region;
};

struct bus_table {
    _Atomic uint32_t count;
    struct bus_entry entries[BUS_MAX_REGIONS]; /* sorted by base, without overlaps */
};

int bus_init(struct bus *bus, struct guise_error *err)
{
    *bus = (struct bus){.version = 0};
    for (int i = 0; i < 2; i++)
        bus->tables[i] = calloc(1, sizeof(struct bus_table));
    pthread_mutex_init(&bus->lock, NULL);
    if (bus->tables[0] && bus->tables[1])
        return 0;
    bus_release(bus);
    return error_set(err, GUISE_E_NOMEM, "the tables of the bus");
}

void bus_release(struct bus *bus)
{
    pthread_mutex_destroy(&bus->lock);
    for (int i = 0; i < 2; i++)
        free(bus->tables[i]);
}

/* ---- Look-up ---- */

#define LOAD(object)         atomic_load_explicit(&(object), memory_order_acquire)
#define STORE(object, value) atomic_store_explicit(&(object), value, memory_order_release)

/* How many entries begin at or below the address. */
static uint32_t count_below(struct bus_table *t, uint64_t address)
{
    uint32_t low = 0, high = LOAD(t->count);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (LOAD(t->entries[middle].base) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct bus_region *table_find(struct bus_table *t, uint64_t address, uint64_t *base)
{
    uint32_t below = count_below(t, address);
    if (!below)
        return NULL;
    struct bus_entry *e = &t->entries[below - 1];
    *base = LOAD(e->base);
    return address <= LOAD(e->last) ? LOAD(e->region) : NULL;
}

static struct bus_region *find_behind(struct bus *bus, uint64_t address, uint64_t *base)
{
    for (unsigned i = 0; i < bus->behind_count; i++)
        if (address - bus->behind[i].base < bus->behind[i].region->length) {
            *base = bus->behind[i].base;
            return bus->behind[i].region;
        }
    return NULL;
}

struct bus_region *bus_find(struct bus *bus, uint64_t address, uint64_t *base)
{
    uint64_t found_base = 0, version;
    struct bus_region *region;
    do {
        version = LOAD(bus->version);
        region = table_find(bus->tables[version % 2], address, &found_base);
    } while (atomic_load_explicit(&bus->version, memory_order_relaxed) != version);
    if (!region)
        region = find_behind(bus, address, &found_base);
    if (base)
        *base = found_base;
    return region;
}

/* ---- Changes ---- */

static void entry_set(struct bus_entry *e, uint64_t base, uint64_t last, struct bus_region *region)
{
    STORE(e->base, base);
    STORE(e->last, last);
    STORE(e->region, region);
}

static void entries_copy(struct bus_entry *to, struct bus_entry *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        entry_set(&to[i], LOAD(from[i].base), LOAD(from[i].last), LOAD(from[i].region));
}

static struct bus_table *current(struct bus *bus)
{
    return bus->tables[bus->version % 2];
}

static struct bus_table *next(struct bus *bus)
{
    return bus->tables[(bus->version + 1) % 2];
}

static void publish(struct bus *bus, uint32_t count)
{
    STORE(next(bus)->count, count);
    STORE(bus->version, bus->version + 1);
}

/* The place of a region in the current table, its count when it is not there. */
static uint32_t find_region(struct bus_table *t, const struct bus_region *region)
{
    uint32_t i = 0;
    while (i < t->count && t->entries[i].region != region)
        i++;
    return i;
}

static int refuse(const struct bus_region *region, uint64_t base, struct guise_error *err)
{
    return error_set(err, GUISE_E_CONFIG, "device region %s cannot be at 0x%llx, 0x%llx bytes", region->name,
                     (unsigned long long)base, (unsigned long long)region->length);
}

static int map_locked(struct bus *bus, struct bus_region *region, uint64_t base, struct guise_error *err)
{
    struct bus_table *t = current(bus), *to = next(bus);
    uint64_t last = base + (region->length - 1);
    uint32_t place = count_below(t, base), count = t->count;
    if (count == BUS_MAX_REGIONS)
        return error_set(err, GUISE_E_NOMEM, "more than %d device regions", BUS_MAX_REGIONS);
    bool meets = (place > 0 && t->entries[place - 1].last >= base) ||
                 (place < count && t->entries[place].base <= last);
    if (!region->length || last < base || meets || find_region(t, region) < count)
        return refuse(region, base, err);
    entries_copy(to->entries, t->entries, place);
    entry_set(&to->entries[place], base, last, region);
    entries_copy(&to->entries[place + 1], &t->entries[place], count - place);
    publish(bus, count + 1);
    return 0;
}

int bus_map(struct bus *bus, struct bus_region *region, uint64_t base, struct guise_error *err)
{
    pthread_mutex_lock(&bus->lock);
    int status = map_locked(bus, region, base, err);
    pthread_mutex_unlock(&bus->lock);
    return status;
}

int bus_map_behind(struct bus *bus, struct bus_region *region, uint64_t base, struct guise_error *err)
{
    if (!region->length || base + (region->length - 1) < base || bus->behind_count == BUS_MAX_BEHIND)
        return refuse(region, base, err);
    bus->behind[bus->behind_count].base = base;
    bus->behind[bus->behind_count++].region = region;
    return 0;
}

bool bus_unmap(struct bus *bus, struct bus_region *region)
{
    pthread_mutex_lock(&bus->lock);
    struct bus_table *t = current(bus), *to = next(bus);
    uint32_t place = find_region(t, region), count = t->count;
    bool found = place < count;
    if (found) {
        entries_copy(to->entries, t->entries, place);
        entries_copy(&to->entries[place], &t->entries[place + 1], count - place - 1);
        publish(bus, count - 1);
    }
    pthread_mutex_unlock(&bus->lock);
    return found;
}

/* ---- Access ---- */

static uint64_t truncate_to(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & (((uint64_t)1 << 8 * size) - 1);
}

static bool fits(const struct bus_region *region, const struct bus_access *access)
{
    return access->size && !(access->size & (access->size - 1)) && access->size & region->ops->sizes &&
           access->address % access->size == 0 && access->address < region->length &&
           access->size <= region->length - access->address;
}

enum bus_result bus_region_access(const struct bus_region *region, struct bus_access *access)
{
    if (!fits(region, access))
        return BUS_FAULT;
    access->value = access->is_write ? truncate_to(access->value, access->size) : 0;
    if (region->lock)
        pthread_mutex_lock(region->lock);
    enum bus_result result = region->ops->access(region->device, access);
    if (region->lock)
        pthread_mutex_unlock(region->lock);
    access->value = truncate_to(access->value, access->size);
    return result;
}

enum bus_result bus_access(struct bus *bus, struct bus_access *access)
{
    uint64_t base, address = access->address;
    const struct bus_region *region = bus_find(bus, address, &base);
    if (!region)
        return BUS_FAULT;
    access->address -= base;
    enum bus_result result = bus_region_access(region, access);
    access->address = address;
    return result;
}

enum bus_result bus_read(struct bus *bus, uint64_t address, unsigned size, uint64_t *value)
{
    struct bus_access access = {.address = address, .size = (uint8_t)size};
    enum bus_result result = bus_access(bus, &access);
    *value = access.value;
    return result;
}

enum bus_result bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    struct bus_access access = {.address = address, .value = value, .size = (uint8_t)size, .is_write = true};
    return bus_access(bus, &access);
}
