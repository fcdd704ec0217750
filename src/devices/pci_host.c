#include "devices/pci_host.h"

#include "base/error.h"

enum { SPACE = 4096 }; /* configuration space of a function in ECAM, bytes; a device has eight */

/* ---- Interrupt lines ---- */

void pci_host_assert(struct pci_host *h, unsigned device, bool level)
{
    unsigned line = device % PCI_PINS;
    pthread_mutex_lock(&h->pin_lock);
    h->asserting[line] += level ? 1 : -1u;
    irq_set(&h->config.lines[line], h->asserting[line]);
    pthread_mutex_unlock(&h->pin_lock);
}

/* ---- BARs ---- */

static bool within(const struct pci_window *w, uint64_t base, uint64_t length)
{
    return base >= w->base && base - w->base < w->length && length <= w->length - (base - w->base);
}

/* Where a BAR is to be seen on the bus, if anywhere. */
static bool bar_wanted(const struct pci_host *h, const struct pci_function *f, unsigned index, uint64_t *base)
{
    const struct pci_bar *bar = &f->bars[index];
    return pci_bar_decodes(f, index, base) &&
           (within(&h->config.low, *base, bar->region.length) ||
            (bar->kind == PCI_BAR_64 && within(&h->config.high, *base, bar->region.length)));
}

static void unmap_moved(struct pci_host *h, struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *bar = &f->bars[i];
        uint64_t base;
        if (bar->mapped && (!bar_wanted(h, f, i, &base) || base != bar->base)) {
            bus_unmap(h->config.bus, &bar->region);
            bar->mapped = false;
        }
    }
}

static void map_wanted(struct pci_host *h, struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *bar = &f->bars[i];
        if (!bar->mapped && bar_wanted(h, f, i, &bar->base))
            bar->mapped = !bus_map(h->config.bus, &bar->region, bar->base, NULL);
    }
}

/* A BAR that the guest put over another is not seen until the other moves away: so all are looked at each time. */
void pci_host_map_bars(struct pci_host *h)
{
    for (unsigned i = 0; i < PCI_DEVICES; i++)
        if (h->functions[i])
            unmap_moved(h, h->functions[i]);
    for (unsigned i = 0; i < PCI_DEVICES; i++)
        if (h->functions[i])
            map_wanted(h, h->functions[i]);
}

/* Reads of what no one decodes are ones, writes are lost. */
static enum bus_result access_empty(void *device, struct bus_access *a)
{
    (void)device;
    a->value = UINT64_MAX;
    return BUS_OK;
}

static const struct bus_ops empty_ops = {.access = access_empty, .sizes = 1 | 2 | 4 | 8};

static int window_init(struct pci_host *h, struct bus_region *region, const struct pci_window *w,
                       struct guise_error *err)
{
    *region = (struct bus_region){.name = "pci-window", .length = w->length, .ops = &empty_ops};
    return w->length ? bus_map_behind(h->config.bus, region, w->base, err) : 0;
}

/* ---- Configuration space ---- */

/* Nothing there: the bus master aborts, which reads as ones. The extended space of a function without any is zero. */
static enum bus_result access(void *device, struct bus_access *a)
{
    struct pci_host *h = device;
    uint64_t number = a->address / SPACE;
    struct pci_function *f = number % 8 ? NULL : h->functions[number / 8];
    struct bus_access own = *a;
    own.address %= SPACE;
    if (!f || own.address >= PCI_CONFIG_LENGTH) {
        a->value = f ? 0 : UINT64_MAX;
        return BUS_OK;
    }
    pthread_mutex_lock(f->lock);
    bool moved = pci_config_access(f, &own);
    pthread_mutex_unlock(f->lock);
    if (moved)
        pci_host_map_bars(h);
    a->value = own.value;
    return BUS_OK;
}

static const struct bus_ops ops = {.access = access, .sizes = 1 | 2 | 4};

/* ---- Life ---- */

int pci_host_init(struct pci_host *h, const struct pci_host_config *config, struct guise_error *err)
{
    *h = (struct pci_host){.config = *config};
    h->ecam = (struct bus_region){
        .name = "pci-ecam", .length = PCI_ECAM_LENGTH, .ops = &ops, .device = h, .lock = &h->lock};
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->pin_lock, NULL);
    int status = window_init(h, &h->empty_low, &config->low, err);
    return status ? status : window_init(h, &h->empty_high, &config->high, err);
}

void pci_host_release(struct pci_host *h)
{
    pthread_mutex_destroy(&h->lock);
    pthread_mutex_destroy(&h->pin_lock);
}

int pci_host_plug(struct pci_host *h, struct pci_function *f, unsigned device, struct guise_error *err)
{
    if (device >= PCI_DEVICES || h->functions[device])
        return error_set(err, GUISE_E_CONFIG, "PCI device number %u is %s", device,
                         device < PCI_DEVICES ? "taken" : "too large");
    f->host = h;
    f->device = (uint8_t)device;
    h->functions[device] = f;
    return 0;
}
