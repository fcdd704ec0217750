#include "machine/tree.h"

#include "base/error.h"
#include "base/util.h"
#include "isa/riscv/isa.h"

#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Nodes that others point to; harts' interrupt controllers are behind the last. */
enum {
    PHANDLE_WIRED = 1, /* PLIC or APLIC: where devices' interrupts go */
    PHANDLE_FINISHER,
    PHANDLE_APLIC_M,
    PHANDLE_IMSIC_M,
    PHANDLE_IMSIC_S,
    PHANDLE_HART,
};

enum { LEVEL_HIGH = 4 }; /* an APLIC's second cell of an interrupt */

enum {
    CBO_BLOCK = 64, /* bytes */
    SEED = 64,      /* bytes of chosen/rng-seed */
};

enum {
    PCI_SPACE_MEM32 = 0x02000000, /* first cell of a PCI address */
    PCI_SPACE_MEM64_PREFETCHABLE = 0x43000000,
};

/* What is written; the first error makes the rest do nothing. */
struct tree {
    void *fdt;
    int error; /* of libfdt */
    const struct board *board;
    const struct board_config *config;
};

static void begin(struct tree *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void begin(struct tree *t, const char *format, ...)
{
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    if (t->error == 0)
        t->error = fdt_begin_node(t->fdt, name);
}

static void end(struct tree *t)
{
    if (t->error == 0)
        t->error = fdt_end_node(t->fdt);
}

static void bytes(struct tree *t, const char *name, const void *data, size_t length)
{
    if (t->error == 0)
        t->error = fdt_property(t->fdt, name, data, (int)length);
}

static void flag(struct tree *t, const char *name)
{
    bytes(t, name, NULL, 0);
}

static void text(struct tree *t, const char *name, const char *value)
{
    bytes(t, name, value, strlen(value) + 1);
}

static void cell(struct tree *t, const char *name, uint32_t value)
{
    if (t->error == 0)
        t->error = fdt_property_u32(t->fdt, name, value);
}

static void wide(struct tree *t, const char *name, uint64_t value)
{
    if (t->error == 0)
        t->error = fdt_property_u64(t->fdt, name, value);
}

static void cells(struct tree *t, const char *name, const uint32_t *values, size_t count)
{
    void *to;
    if (t->error == 0)
        t->error = fdt_property_placeholder(t->fdt, name, (int)(count * sizeof(fdt32_t)), &to);
    for (size_t i = 0; i < count && t->error == 0; i++)
        fdt32_st((uint8_t *)to + i * sizeof(fdt32_t), values[i]);
}

#define CELLS(t, name, ...) \
    cells(t, name, (const uint32_t[]){__VA_ARGS__}, ARRAY_SIZE(((const uint32_t[]){__VA_ARGS__})))
#define WIDE(value) (uint32_t)((uint64_t)(value) >> 32), (uint32_t)(value)

static void reg(struct tree *t, uint64_t base, uint64_t length)
{
    CELLS(t, "reg", WIDE(base), WIDE(length));
}

static bool has_plic(const struct tree *t)
{
    return t->config->interrupts == BOARD_PLIC;
}

static void interrupt(struct tree *t, unsigned source)
{
    cell(t, "interrupt-parent", PHANDLE_WIRED);
    if (has_plic(t))
        cell(t, "interrupts", source);
    else
        CELLS(t, "interrupts", source, LEVEL_HIGH);
}

/* ---- Harts ---- */

/* Extensions in the canonical order: what user code has (`bit`), or what the privileged architecture has (`feature`;
 * 0 and no bit: always). Single letters are apart. */
static const struct extension {
    const char *name;
    uint64_t bit;
    uint32_t feature;
} extensions[] = {
#define USER(name, NAME)                      \
    {                                         \
        name, UINT64_C(1) << RV_EXT_##NAME, 0 \
    }
    {"zicbom", UINT64_C(1) << RV_EXT_ZICBOM, SYS_ZICBOM},
    USER("zicbop", ZICBOP),
    {"zicboz", UINT64_C(1) << RV_EXT_ZICBOZ, SYS_ZICBOZ},
    {"zicntr", 0, 0},
    USER("zicond", ZICOND),
    USER("zicsr", ZICSR),
    USER("zifencei", ZIFENCEI),
    USER("zihintntl", ZIHINTNTL),
    USER("zihintpause", ZIHINTPAUSE),
    {"zihpm", 0, 0},
    USER("zimop", ZIMOP),
    USER("zacas", ZACAS),
    USER("zawrs", ZAWRS),
    USER("zfa", ZFA),
    USER("zfhmin", ZFHMIN),
    USER("zca", C),
    USER("zcb", ZCB),
    USER("zcd", C),
    USER("zcmop", ZCMOP),
    USER("zba", ZBA),
    USER("zbb", ZBB),
    USER("zbc", ZBC),
    USER("zbs", ZBS),
    {"zkr", 0, SYS_ZKR},
    {"smaia", 0, SYS_SMAIA},
    {"smstateen", 0, SYS_SMSTATEEN},
    {"ssaia", 0, SYS_SSAIA},
    {"sscofpmf", 0, SYS_SSCOFPMF},
    {"sstc", 0, SYS_SSTC},
    {"svadu", 0, SYS_SVADU},
    {"svinval", 0, 0},
    {"svnapot", 0, SYS_SVNAPOT},
    {"svpbmt", 0, SYS_SVPBMT},
#undef USER
};

static bool has_extension(const struct board_config *config, const struct extension *e)
{
    const uint32_t features = board_hart_config(config).features;
    return (!e->bit || (config->extensions & e->bit)) && (!e->feature || (features & e->feature));
}

static void isa(struct tree *t)
{
    static const char letters[] = "imafdc";
    char string[512], list[512];
    size_t length = (size_t)snprintf(string, sizeof(string), "rv64"), listed = 0;
    for (unsigned i = 0; letters[i]; i++)
        if (t->config->extensions >> (RV_EXT_I + i) & 1) {
            string[length++] = letters[i];
            list[listed++] = letters[i];
            list[listed++] = '\0';
        }
    for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
        if (has_extension(t->config, &extensions[i])) {
            length += (size_t)snprintf(string + length, sizeof(string) - length, "_%s", extensions[i].name);
            listed += (size_t)snprintf(list + listed, sizeof(list) - listed, "%s", extensions[i].name) + 1;
        }
    bytes(t, "riscv,isa", string, length + 1);
    text(t, "riscv,isa-base", "rv64i");
    bytes(t, "riscv,isa-extensions", list, listed);
}

static void hart(struct tree *t, unsigned index)
{
    static const char *const mmu_types[] = {"riscv,sv39", "riscv,sv48", "riscv,sv57"};
    begin(t, "cpu@%x", index);
    text(t, "device_type", "cpu");
    cell(t, "reg", index);
    text(t, "status", "okay");
    text(t, "compatible", "riscv");
    isa(t);
    text(t, "mmu-type", mmu_types[board_hart_config(t->config).satp_mode - SATP_SV39]);
    cell(t, "riscv,cbom-block-size", CBO_BLOCK);
    cell(t, "riscv,cboz-block-size", CBO_BLOCK);
    cell(t, "riscv,cbop-block-size", CBO_BLOCK);
    begin(t, "interrupt-controller");
    text(t, "compatible", "riscv,cpu-intc");
    cell(t, "#address-cells", 0);
    flag(t, "interrupt-controller");
    cell(t, "#interrupt-cells", 1);
    cell(t, "phandle", PHANDLE_HART + index);
    end(t);
    end(t);
}

static void cpus(struct tree *t)
{
    begin(t, "cpus");
    cell(t, "#address-cells", 1);
    cell(t, "#size-cells", 0);
    cell(t, "timebase-frequency", (uint32_t)SYSTEM_TIME_HZ);
    for (unsigned i = 0; i < t->config->harts; i++)
        hart(t, i);
    end(t);
}

/* Hardware events 1 and 2 can be counted by each programmable counter; M-mode firmware looks here. */
static void pmu(struct tree *t)
{
    if (t->config->firmware)
        return;
    const uint32_t programmable = UINT32_MAX << 3;
    begin(t, "pmu");
    text(t, "compatible", "riscv,pmu");
    CELLS(t, "riscv,event-to-mhpmevent", EVENT_CYCLES, 0, EVENT_CYCLES, EVENT_RETIRED, 0, EVENT_RETIRED);
    CELLS(t, "riscv,event-to-mhpmcounters", EVENT_CYCLES, EVENT_CYCLES, programmable, EVENT_RETIRED,
          EVENT_RETIRED, programmable);
    end(t);
}

/* ---- Interrupt controllers ---- */

/* "interrupts-extended": pairs of a hart's controller and an interrupt, for each hart the first and the second. */
static void interrupts_of_harts(struct tree *t, uint32_t first, uint32_t second)
{
    uint32_t pairs[4 * LAYOUT_MAX_HARTS];
    size_t count = 0;
    for (unsigned i = 0; i < t->config->harts; i++) {
        if (first) {
            pairs[count++] = PHANDLE_HART + i;
            pairs[count++] = first;
        }
        pairs[count++] = PHANDLE_HART + i;
        pairs[count++] = second;
    }
    cells(t, "interrupts-extended", pairs, count);
}

static void plic(struct tree *t)
{
    static const char compatible[] = "sifive,plic-1.0.0\0riscv,plic0";
    begin(t, "interrupt-controller@%llx", (unsigned long long)LAYOUT_PLIC);
    bytes(t, "compatible", compatible, sizeof(compatible));
    reg(t, LAYOUT_PLIC, t->board->plic.region.length);
    flag(t, "interrupt-controller");
    cell(t, "#interrupt-cells", 1);
    cell(t, "#address-cells", 0);
    cell(t, "riscv,ndev", PLIC_SOURCES - 1);
    interrupts_of_harts(t, t->config->firmware ? 0 : IRQ_MEI, IRQ_SEI);
    cell(t, "phandle", PHANDLE_WIRED);
    end(t);
}

static void imsic(struct tree *t, enum sys_level level, uint32_t phandle)
{
    static const char compatible[] = "guise,imsics\0riscv,imsics";
    const struct imsic *device = &t->board->imsic[level];
    begin(t, "interrupt-controller@%llx", (unsigned long long)device->base);
    bytes(t, "compatible", compatible, sizeof(compatible));
    reg(t, device->base, device->region.length);
    flag(t, "interrupt-controller");
    cell(t, "#interrupt-cells", 0);
    cell(t, "#address-cells", 0);
    flag(t, "msi-controller");
    cell(t, "#msi-cells", 0);
    cell(t, "riscv,num-ids", INTERRUPT_FILE_IDENTITIES - 1);
    interrupts_of_harts(t, 0, level == SYS_MACHINE ? IRQ_MEI : IRQ_SEI);
    cell(t, "phandle", phandle);
    end(t);
}

/* How a domain delivers. */
static void aplic_outputs(struct tree *t, enum aplic_level level)
{
    if (t->config->interrupts == BOARD_IMSIC)
        cell(t, "msi-parent", level == APLIC_MACHINE ? PHANDLE_IMSIC_M : PHANDLE_IMSIC_S);
    else
        interrupts_of_harts(t, 0, level == APLIC_MACHINE ? IRQ_MEI : IRQ_SEI);
}

static void aplic(struct tree *t, enum aplic_level level, uint64_t base)
{
    static const char compatible[] = "guise,aplic\0riscv,aplic";
    begin(t, "interrupt-controller@%llx", (unsigned long long)base);
    bytes(t, "compatible", compatible, sizeof(compatible));
    reg(t, base, t->board->aplic.domains[level].region.length);
    flag(t, "interrupt-controller");
    cell(t, "#interrupt-cells", 2);
    cell(t, "#address-cells", 0);
    cell(t, "riscv,num-sources", APLIC_SOURCES - 1);
    aplic_outputs(t, level);
    if (level == APLIC_MACHINE) {
        cell(t, "riscv,children", PHANDLE_WIRED);
        CELLS(t, "riscv,delegation", PHANDLE_WIRED, 1, APLIC_SOURCES - 1);
    }
    cell(t, "phandle", level == APLIC_MACHINE ? PHANDLE_APLIC_M : PHANDLE_WIRED);
    end(t);
}

/* What is of machine level is for firmware that runs there. */
static void interrupt_controllers(struct tree *t)
{
    if (has_plic(t)) {
        plic(t);
        return;
    }
    if (t->config->interrupts == BOARD_IMSIC) {
        if (!t->config->firmware)
            imsic(t, SYS_MACHINE, PHANDLE_IMSIC_M);
        imsic(t, SYS_SUPERVISOR, PHANDLE_IMSIC_S);
    }
    if (!t->config->firmware)
        aplic(t, APLIC_MACHINE, LAYOUT_APLIC_M);
    aplic(t, APLIC_SUPERVISOR, LAYOUT_APLIC_S);
}

/* For firmware that runs in M-mode. */
static void clint(struct tree *t)
{
    static const char compatible[] = "sifive,clint0\0riscv,clint0";
    if (t->config->firmware)
        return;
    begin(t, "clint@%llx", (unsigned long long)LAYOUT_MSWI);
    bytes(t, "compatible", compatible, sizeof(compatible));
    reg(t, LAYOUT_MSWI, ACLINT_MSWI_LENGTH + ACLINT_MTIMER_LENGTH);
    interrupts_of_harts(t, IRQ_MSI, IRQ_MTI);
    end(t);
}

/* ---- Devices ---- */

static void serial(struct tree *t)
{
    begin(t, "serial@%llx", (unsigned long long)LAYOUT_UART);
    text(t, "compatible", "ns16550a");
    reg(t, LAYOUT_UART, UART_LENGTH);
    cell(t, "clock-frequency", UART_FREQUENCY);
    interrupt(t, LAYOUT_IRQ_UART);
    end(t);
}

static void rtc(struct tree *t)
{
    begin(t, "rtc@%llx", (unsigned long long)LAYOUT_RTC);
    text(t, "compatible", "google,goldfish-rtc");
    reg(t, LAYOUT_RTC, RTC_LENGTH);
    interrupt(t, LAYOUT_IRQ_RTC);
    end(t);
}

static void finisher(struct tree *t)
{
    static const char compatible[] = "sifive,test1\0sifive,test0\0syscon";
    begin(t, "test@%llx", (unsigned long long)LAYOUT_FINISHER);
    bytes(t, "compatible", compatible, sizeof(compatible));
    reg(t, LAYOUT_FINISHER, FINISHER_LENGTH);
    cell(t, "phandle", PHANDLE_FINISHER);
    end(t);
}

static void syscon(struct tree *t, const char *name, const char *compatible, uint32_t value)
{
    begin(t, "%s", name);
    text(t, "compatible", compatible);
    cell(t, "regmap", PHANDLE_FINISHER);
    cell(t, "offset", 0);
    cell(t, "value", value);
    end(t);
}

/* Four rows of four pins; with the mask the others are like them. */
static void pci_interrupt_map(struct tree *t)
{
    enum { ROW = 7 }; /* cells; one fewer with a PLIC, which has no sense of an interrupt */
    uint32_t map[PCI_PINS * PCI_PINS * ROW];
    size_t count = 0, length = has_plic(t) ? ROW - 1 : ROW;
    for (uint32_t device = 0; device < PCI_PINS; device++)
        for (uint32_t pin = 0; pin < PCI_PINS; pin++) {
            const uint32_t row[ROW] = {
                device << 11, 0, 0, pin + 1, PHANDLE_WIRED, LAYOUT_IRQ_PCI + (device + pin) % PCI_PINS,
                LEVEL_HIGH};
            memcpy(&map[count], row, length * sizeof(row[0]));
            count += length;
        }
    cells(t, "interrupt-map", map, count);
    CELLS(t, "interrupt-map-mask", (PCI_PINS - 1) << 11, 0, 0, 7);
}

static void pci(struct tree *t)
{
    const struct pci_window *low = &t->board->pci.config.low, *high = &t->board->pci.config.high;
    begin(t, "pci@%llx", (unsigned long long)LAYOUT_ECAM);
    text(t, "compatible", "pci-host-ecam-generic");
    text(t, "device_type", "pci");
    cell(t, "#address-cells", 3);
    cell(t, "#size-cells", 2);
    cell(t, "#interrupt-cells", 1);
    cell(t, "linux,pci-domain", 0);
    CELLS(t, "bus-range", 0, 0);
    flag(t, "dma-coherent");
    reg(t, LAYOUT_ECAM, PCI_ECAM_LENGTH);
    CELLS(t, "ranges", PCI_SPACE_MEM32, WIDE(low->base), WIDE(low->base), WIDE(low->length),
          PCI_SPACE_MEM64_PREFETCHABLE, WIDE(high->base), WIDE(high->base), WIDE(high->length));
    pci_interrupt_map(t);
    if (t->config->interrupts == BOARD_IMSIC)
        cell(t, "msi-parent", PHANDLE_IMSIC_S);
    end(t);
}

static void virtio_slots(struct tree *t)
{
    if (t->config->transport != BOARD_MMIO)
        return;
    for (unsigned i = 0; i < t->board->ports_used; i++) {
        uint64_t base = LAYOUT_VIRTIO + i * VIRTIO_MMIO_LENGTH;
        begin(t, "virtio_mmio@%llx", (unsigned long long)base);
        text(t, "compatible", "virtio,mmio");
        reg(t, base, VIRTIO_MMIO_LENGTH);
        interrupt(t, LAYOUT_IRQ_VIRTIO + i);
        flag(t, "dma-coherent");
        end(t);
    }
}

static void soc(struct tree *t)
{
    begin(t, "soc");
    cell(t, "#address-cells", 2);
    cell(t, "#size-cells", 2);
    text(t, "compatible", "simple-bus");
    flag(t, "ranges");
    clint(t);
    interrupt_controllers(t);
    finisher(t);
    rtc(t);
    serial(t);
    virtio_slots(t);
    pci(t);
    end(t);
}

/* ---- The whole ---- */

static void chosen_node(struct tree *t, const struct tree_chosen *chosen)
{
    uint8_t seed[SEED];
    uint64_t kaslr;
    begin(t, "chosen");
    text(t, "stdout-path", "serial0");
    if (chosen->append)
        text(t, "bootargs", chosen->append);
    if (chosen->initrd_length) {
        wide(t, "linux,initrd-start", chosen->initrd);
        wide(t, "linux,initrd-end", chosen->initrd + chosen->initrd_length);
    }
    if (getrandom(seed, sizeof(seed), 0) == (ssize_t)sizeof(seed))
        bytes(t, "rng-seed", seed, sizeof(seed));
    if (getrandom(&kaslr, sizeof(kaslr), 0) == (ssize_t)sizeof(kaslr))
        wide(t, "kaslr-seed", kaslr);
    end(t);
}

static void aliases(struct tree *t)
{
    char path[64];
    snprintf(path, sizeof(path), "/soc/serial@%llx", (unsigned long long)LAYOUT_UART);
    begin(t, "aliases");
    text(t, "serial0", path);
    end(t);
}

static void memory(struct tree *t)
{
    begin(t, "memory@%llx", (unsigned long long)LAYOUT_RAM);
    text(t, "device_type", "memory");
    reg(t, LAYOUT_RAM, t->config->memory);
    end(t);
}

static void root(struct tree *t, const struct tree_chosen *chosen)
{
    static const char compatible[] = "guise,virt\0riscv-virtio";
    begin(t, "%s", "");
    cell(t, "#address-cells", 2);
    cell(t, "#size-cells", 2);
    bytes(t, "compatible", compatible, sizeof(compatible));
    text(t, "model", "Guise virtual machine");
    chosen_node(t, chosen);
    aliases(t);
    cpus(t);
    pmu(t);
    memory(t);
    soc(t);
    syscon(t, "poweroff", "syscon-poweroff", FINISHER_POWER_OFF);
    syscon(t, "reboot", "syscon-reboot", FINISHER_REBOOT);
    end(t);
}

int tree_write(void *to, unsigned size, const struct board *board, const struct tree_chosen *chosen,
               struct guise_error *err)
{
    struct tree t = {.fdt = to, .board = board, .config = &board->config};
    t.error = fdt_create(to, (int)size);
    if (t.error == 0)
        t.error = fdt_finish_reservemap(to);
    root(&t, chosen);
    if (t.error == 0)
        t.error = fdt_finish(to);
    if (t.error == 0)
        t.error = fdt_open_into(to, to, (int)size);
    if (t.error)
        return error_set(err, GUISE_E_CONFIG,
                         "the device tree cannot be made: %s (is the command line too long?)",
                         fdt_strerror(t.error));
    return 0;
}
