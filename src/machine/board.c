/* The table `parts` is the board: what it is made of, in the order of the functions above it. */
#include "machine/board.h"

#include "base/error.h"
#include "base/util.h"
#include "isa/riscv/isa.h"

#include <stdlib.h>
#include <sys/random.h>

/* ---- Harts ---- */

struct sys_config board_hart_config(const struct board_config *config)
{
    static const char letters[] = "IMAFDC";
    struct sys_config hart = {
        .misa = MISA_MXL_64 | MISA_LETTER('S') | MISA_LETTER('U'),
        .features = SYS_SSTC | SYS_SSCOFPMF | SYS_SVADU | SYS_SVPBMT | SYS_SVNAPOT | SYS_ZKR | SYS_ZICBOM |
                    SYS_ZICBOZ,
        .satp_mode = config->satp_mode ? config->satp_mode : SATP_SV39,
    };
    if (!config->firmware)
        hart.features |= SYS_SMSTATEEN;
    if (config->interrupts != BOARD_PLIC)
        hart.features |= config->firmware ? SYS_SSAIA : SYS_SSAIA | SYS_SMAIA;
    for (unsigned i = 0; letters[i]; i++)
        if (config->extensions >> (RV_EXT_I + i) & 1)
            hart.misa |= MISA_LETTER(letters[i]);
    return hart;
}

static int add_harts(struct board *b, struct guise_error *err)
{
    const struct system_config config = {
        .memory = &b->memory,
        .bus = &b->bus,
        .engine = b->config.engine,
        .harts = b->config.harts,
        .extensions = b->config.extensions,
        .hart = board_hart_config(&b->config),
        .firmware = b->config.firmware,
        .ops = b->config.ops,
        .owner = b->config.owner,
    };
    return system_new(&b->system, &config, err);
}

/* ---- Timers and software interrupts ---- */

static int add_aclint(struct board *b, struct guise_error *err)
{
    struct aclint_lines lines[ACLINT_MAX_HARTS] = {0};
    if (b->config.firmware)
        return 0;
    for (unsigned i = 0; i < b->config.harts; i++)
        lines[i] = (struct aclint_lines){.msip = board_hart_line(b, i, IRQ_MSI),
                                         .mtip = board_hart_line(b, i, IRQ_MTI)};
    aclint_init(&b->aclint, b->config.harts, lines, &b->clock, &b->time);
    int r = bus_map(&b->bus, &b->aclint.mswi, LAYOUT_MSWI, err);
    return r ? r : bus_map(&b->bus, &b->aclint.mtimer, LAYOUT_MTIMER, err);
}

/* ---- Devices ---- */

static int add_uart(struct board *b, struct guise_error *err)
{
    uart_init(&b->uart, board_line(b, LAYOUT_IRQ_UART), &b->clock, b->config.serial);
    return bus_map(&b->bus, &b->uart.region, LAYOUT_UART, err);
}

static int add_rtc(struct board *b, struct guise_error *err)
{
    rtc_init(&b->rtc, board_line(b, LAYOUT_IRQ_RTC), &b->clock);
    return bus_map(&b->bus, &b->rtc.region, LAYOUT_RTC, err);
}

static int add_finisher(struct board *b, struct guise_error *err)
{
    finisher_init(&b->finisher, b->config.request, b->config.owner);
    return bus_map(&b->bus, &b->finisher.region, LAYOUT_FINISHER, err);
}

static int add_pci(struct board *b, struct guise_error *err)
{
    uint64_t ram_end = LAYOUT_RAM + b->config.memory;
    b->pci_high.base = MAX(LAYOUT_PCI_HIGH, ALIGN_UP(ram_end, LAYOUT_HIGH_LENGTH));
    b->pci_high.length = LAYOUT_HIGH_LENGTH;
    struct pci_host_config config = {
        .bus = &b->bus,
        .msi = board_messages(b),
        .low = {.base = LAYOUT_PCI_LOW, .length = LAYOUT_RAM - LAYOUT_PCI_LOW},
        .high = b->pci_high,
    };
    for (unsigned pin = 0; pin < PCI_PINS; pin++)
        config.lines[pin] = board_line(b, LAYOUT_IRQ_PCI + pin);
    int r = pci_host_init(&b->pci, &config, err);
    return r ? r : bus_map(&b->bus, &b->pci.ecam, LAYOUT_ECAM, err);
}

/* ---- Virtio ---- */

static int plug(struct board *b, struct virtio_device *device, struct guise_error *err)
{
    _Static_assert(BOARD_MAX_DISKS + 3 <= LAYOUT_VIRTIO_SLOTS, "disks, network, console, entropy");
    unsigned number = b->ports_used++;
    struct board_port *port = &b->ports[number];
    if (b->config.transport == BOARD_PCI) {
        virtio_pci_init(&port->pci, device);
        return pci_host_plug(&b->pci, &port->pci.function, number + 1, err);
    }
    virtio_mmio_init(&port->mmio, device, board_line(b, LAYOUT_IRQ_VIRTIO + number));
    return bus_map(&b->bus, &port->mmio.region, LAYOUT_VIRTIO + number * VIRTIO_MMIO_LENGTH, err);
}

static int add_disks(struct board *b, struct guise_error *err)
{
    int r = 0;
    for (unsigned i = 0; i < BOARD_MAX_DISKS && b->config.disks[i] && r == 0; i++) {
        const char serial[] = {'d', 'i', 's', 'k', (char)('0' + i), '\0'};
        unsigned queues = MIN(b->config.harts, (unsigned)VIRTIO_BLOCK_MAX_QUEUES);
        virtio_block_init(&b->disks[i], b->config.disks[i], serial, queues, &b->memory,
                          tasks_runner(&b->tasks));
        b->disk_count++;
        r = plug(b, &b->disks[i].device, err);
    }
    return r;
}

static int add_net(struct board *b, struct guise_error *err)
{
    static const uint8_t mac[VIRTIO_NET_MAC] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    if (!b->config.net)
        return 0;
    virtio_net_init(&b->net, b->config.net, mac, 1, &b->memory, tasks_runner(&b->tasks));
    return plug(b, &b->net.device, err);
}

static int add_console(struct board *b, struct guise_error *err)
{
    if (!b->config.console)
        return 0;
    virtio_console_init(&b->console, b->config.console, &b->memory, tasks_runner(&b->tasks));
    return plug(b, &b->console.device, err);
}

static int add_entropy(struct board *b, struct guise_error *err)
{
    virtio_entropy_init(&b->entropy, getrandom, &b->memory, tasks_runner(&b->tasks));
    return plug(b, &b->entropy.device, err);
}

/* ---- The whole ---- */

static int add_memory(struct board *b, struct guise_error *err)
{
    return gmem_add(&b->memory, GMEM_RAM, LAYOUT_RAM, b->config.memory, err);
}

static void remove_harts(struct board *b)
{
    system_free(b->system);
}

static void remove_aclint(struct board *b)
{
    if (!b->config.firmware)
        aclint_release(&b->aclint);
}

static void remove_uart(struct board *b)
{
    uart_release(&b->uart);
}

static void remove_rtc(struct board *b)
{
    rtc_release(&b->rtc);
}

static void remove_pci(struct board *b)
{
    pci_host_release(&b->pci);
}

static void remove_disks(struct board *b)
{
    for (unsigned i = 0; i < b->disk_count; i++)
        virtio_block_release(&b->disks[i]);
}

static void remove_net(struct board *b)
{
    if (b->config.net)
        virtio_net_release(&b->net);
}

static void remove_console(struct board *b)
{
    if (b->config.console)
        virtio_console_release(&b->console);
}

static void remove_entropy(struct board *b)
{
    virtio_entropy_release(&b->entropy);
}

/* Each stands on those above it. */
static const struct {
    int (*add)(struct board *, struct guise_error *);
    void (*remove)(struct board *); /* NULL: nothing to do */
} parts[] = {
    {add_memory, NULL},
    {add_harts, remove_harts},
    {board_add_interrupts, board_remove_interrupts},
    {add_aclint, remove_aclint},
    {add_uart, remove_uart},
    {add_rtc, remove_rtc},
    {add_finisher, NULL},
    {add_pci, remove_pci},
    {add_disks, remove_disks},
    {add_net, remove_net},
    {add_console, remove_console},
    {add_entropy, remove_entropy},
};

static int board_wire(struct board *b, struct guise_error *err)
{
    int r = 0;
    while (b->wired < ARRAY_SIZE(parts) && (r = parts[b->wired].add(b, err)) == 0)
        b->wired++;
    return r;
}

int board_new(struct board **out, const struct board_config *config, struct guise_error *err)
{
    struct board *b = calloc(1, sizeof(*b));
    if (!b)
        return error_set(err, GUISE_E_NOMEM, "out of memory");
    b->config = *config;
    gmem_init(&b->memory);
    clock_init(&b->clock, NULL);
    clock_ticks_init(&b->time, &b->clock, SYSTEM_TIME_HZ);
    int r = bus_init(&b->bus, err);
    if (r == 0 && (r = tasks_init(&b->tasks, config->loop, err)))
        bus_release(&b->bus);
    if (r) {
        free(b);
        return r;
    }
    clock_set_loop(&b->clock, config->loop);
    r = board_wire(b, err);
    if (r)
        board_free(b);
    else
        *out = b;
    return r;
}

void board_free(struct board *b)
{
    while (b->wired > 0)
        if (parts[--b->wired].remove)
            parts[b->wired].remove(b);
    tasks_release(&b->tasks);
    clock_release(&b->clock);
    bus_release(&b->bus);
    gmem_release(&b->memory);
    free(b);
}
