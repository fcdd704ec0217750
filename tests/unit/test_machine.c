/* A machine that does not run: what is loaded where, what the device tree says, and the firmware's calls. */
#include "base/util.h"
#include "console/stream.h"
#include "cpu/riscv/sys.h"
#include "isa/riscv/isa.h"
#include "machine/harts.h"
#include "machine/loader.h"
#include "machine/sbi.h"

#include <fcntl.h>
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB UINT64_C(0x100000)

enum { HARTS = 3 };

struct fixture {
    char directory[32];
    struct loop loop;
    struct console *serial;
    struct engine_options engine;
    struct machine_config config;
    struct machine *machine;
    struct loader_start start;
};

static char *path_of(const struct fixture *f, const char *name)
{
    char *path;
    assert_true(asprintf(&path, "%s/%s", f->directory, name) > 0);
    return path;
}

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    f = (struct fixture){.directory = "/tmp/guise-machine-XXXXXX", .engine = ENGINE_DEFAULTS};
    f.engine.kind = ENGINE_INTERP;
    if (!mkdtemp(f.directory) || loop_init(&f.loop, NULL))
        return -1;
    char *serial = path_of(&f, "serial");
    int r = console_open_file(&f.serial, &f.loop, serial, NULL);
    free(serial);
    f.config = (struct machine_config){.board = {.memory = 64 * MIB,
                                                 .harts = HARTS,
                                                 .extensions = UINT64_MAX >> (64 - RV_EXT_PROGRAM_COUNT),
                                                 .engine = &f.engine,
                                                 .serial = f.serial,
                                                 .loop = &f.loop}};
    return r;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    char command[64];
    if (f->machine)
        machine_free(f->machine);
    if (f->serial)
        console_free(f->serial);
    loop_release(&f->loop);
    snprintf(command, sizeof(command), "rm -rf %s", f->directory);
    return system(command);
}

static void make(struct fixture *f)
{
    assert_int_equal(machine_new(&f->machine, &f->config, NULL), 0);
    for (unsigned i = 0; i < HARTS; i++)
        system_hart_reset(f->machine->harts[i].hart, PRIV_S, LAYOUT_RAM, i, 0);
    f->machine->harts[0].state = HART_STARTED;
}

/* ---- Files ---- */

struct image_header {
    uint32_t code[2];
    uint64_t text_offset, image_size, flags;
    uint32_t version, reserved1;
    uint64_t reserved2;
    char magic[8], magic2[4];
    uint32_t reserved3;
};

static char *write_file(const struct fixture *f, const char *name, const void *data, size_t length)
{
    char *path = path_of(f, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), length);
    close(fd);
    return path;
}

static struct image_header image(void)
{
    return (struct image_header){.code = {0x6f, 0x13},
                                 .text_offset = 2 * MIB,
                                 .image_size = 4 * MIB,
                                 .version = 2,
                                 .magic = "RISCV\0\0",
                                 .magic2 = {'R', 'S', 'C', 5}};
}

static int load(struct fixture *f, struct guise_error *err)
{
    return loader_load(f->machine->board, &f->config.files, &f->start, err);
}

static const uint8_t *at(const struct fixture *f, uint64_t gpa)
{
    return gmem_slice(&f->machine->board->memory, gpa, 1, GMEM_READ);
}

static void kernel_initrd_and_tree_are_placed(void **state)
{
    struct fixture *f = *state;
    struct image_header header = image();
    const char initrd[] = "initial RAM disk";
    char *kernel_path = write_file(f, "kernel", &header, sizeof(header));
    char *initrd_path = write_file(f, "initrd", initrd, sizeof(initrd));
    make(f);
    f->config.files =
        (struct loader_files){.kernel = kernel_path, .initrd = initrd_path, .append = "root=/dev/vda"};
    assert_int_equal(load(f, NULL), 0);
    assert_int_equal(f->start.pc, LAYOUT_RAM + 2 * MIB);
    assert_memory_equal(at(f, f->start.pc), &header, sizeof(header));

    const void *tree = at(f, f->start.tree);
    int chosen = fdt_path_offset(tree, "/chosen");
    assert_int_equal(fdt_check_full(tree, fdt_totalsize(tree)), 0);
    assert_string_equal(fdt_getprop(tree, chosen, "bootargs", NULL), "root=/dev/vda");
    uint64_t begin = fdt64_ld(fdt_getprop(tree, chosen, "linux,initrd-start", NULL));
    assert_int_equal(fdt64_ld(fdt_getprop(tree, chosen, "linux,initrd-end", NULL)) - begin, sizeof(initrd));
    assert_true(begin >= f->start.pc + header.image_size && begin + sizeof(initrd) <= f->start.tree);
    assert_string_equal(at(f, begin), initrd);
    free(kernel_path);
    free(initrd_path);
}

static void assert_refused(struct fixture *f, const void *kernel, size_t length, int code, const char *text)
{
    struct guise_error err = {0};
    char *path = write_file(f, "bad", kernel, length);
    f->config.files = (struct loader_files){.kernel = path};
    assert_int_equal(load(f, &err), code);
    if (!strstr(err.text, text))
        fail_msg("'%s' does not say '%s'", err.text, text);
    free(path);
}

static void bad_kernels_are_refused(void **state)
{
    struct fixture *f = *state;
    struct image_header header = image();
    make(f);
    assert_refused(f, "\x1f\x8b\x08 and so on", 14, GUISE_E_CONFIG, "gzip -dc");
    assert_refused(f, "MZ\0\0zimg and so on", 18, GUISE_E_CONFIG, "plain Image");
    assert_refused(f, "#!/bin/sh\n", 10, GUISE_E_CONFIG, "neither an Image nor ELF");
    assert_refused(f, "", 0, GUISE_E_CONFIG, "is empty");
    assert_refused(f,
                   "\x7f"
                   "ELF\x02\x01\x01",
                   7, GUISE_E_CONFIG, "no riscv64 program");
    header.flags = 1;
    assert_refused(f, &header, sizeof(header), GUISE_E_CONFIG, "big-endian");
    header = image();
    header.image_size = 62 * MIB;
    assert_refused(f, &header, sizeof(header), GUISE_E_CONFIG, "--memory");
    header.image_size = UINT64_MAX;
    assert_refused(f, &header, sizeof(header), GUISE_E_CONFIG, "damaged");
    f->config.files = (struct loader_files){.kernel = "/nowhere/kernel"};
    assert_int_equal(load(f, NULL), GUISE_E_NOTFOUND);
}

/* Firmware is at the start of RAM, and OpenSBI's fw_dynamic is told where the kernel is. */
static void firmware_is_told_of_the_kernel(void **state)
{
    struct fixture *f = *state;
    struct image_header header = image();
    char *kernel = write_file(f, "kernel", &header, sizeof(header)),
         *bios = write_file(f, "bios", "firmware", 8);
    f->config.files = (struct loader_files){.kernel = kernel, .bios = bios};
    make(f);
    assert_false(f->machine->board->config.firmware);
    assert_int_equal(load(f, NULL), 0);
    assert_int_equal(f->start.pc, LAYOUT_RAM);
    assert_memory_equal(at(f, LAYOUT_RAM), "firmware", 8);
    const uint64_t *info = (const uint64_t *)at(f, f->start.info);
    assert_int_equal(info[0], 0x4942534f);
    assert_int_equal(info[2], LAYOUT_RAM + 2 * MIB);
    assert_int_equal(info[3], PRIV_S);
    assert_true(fdt_path_offset(at(f, f->start.tree), "/soc/clint") >= 0);
    free(kernel);
    free(bios);
}

static void the_tree_names_what_the_board_has(void **state)
{
    struct fixture *f = *state;
    struct image_header header = image();
    char *kernel = write_file(f, "kernel", &header, sizeof(header));
    f->config.files.kernel = kernel;
    f->config.board.transport = BOARD_MMIO;
    make(f);
    assert_int_equal(load(f, NULL), 0);
    const void *tree = at(f, f->start.tree);
    static const char *const nodes[] = {"/cpus/cpu@2",
                                        "/memory@80000000",
                                        "/soc/serial@10000000",
                                        "/soc/rtc@101000",
                                        "/soc/pci@30000000",
                                        "/soc/virtio_mmio@10001000",
                                        "/poweroff",
                                        "/reboot"};
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
        if (fdt_path_offset(tree, nodes[i]) < 0)
            fail_msg("no node %s", nodes[i]);
    assert_true(fdt_path_offset(tree, "/cpus/cpu@3") < 0);
    assert_true(fdt_path_offset(tree, "/soc/clint") < 0);
    const char *isa = fdt_getprop(tree, fdt_path_offset(tree, "/cpus/cpu@0"), "riscv,isa", NULL);
    assert_int_equal(strncmp(isa, "rv64imafdc_zicbom_", 18), 0);
    free(kernel);
}

/* ---- Interrupt controllers ---- */

/* Which nodes there are with each, with the built-in firmware and with one in M-mode. */
static void the_tree_names_the_interrupt_controllers(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum board_interrupts interrupts;
        bool bios, plic, aplic_m, aplic_s, imsic_m, imsic_s;
        const char *isa;
    } rows[] = {
        {BOARD_PLIC, false, true, false, false, false, false, "_zkr_sscofpmf_"},
        {BOARD_APLIC, false, false, false, true, false, false, "_zkr_ssaia_sscofpmf_"},
        {BOARD_IMSIC, false, false, false, true, false, true, "_zkr_ssaia_sscofpmf_"},
        {BOARD_APLIC, true, false, true, true, false, false, "_zkr_smaia_smstateen_ssaia_sscofpmf_"},
        {BOARD_IMSIC, true, false, true, true, true, true, "_zkr_smaia_smstateen_ssaia_sscofpmf_"},
    };
    char *bios = write_file(f, "bios", "firmware", 8), *path = path_of(f, "tree");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char tree[32768];
        f->config.board.interrupts = rows[i].interrupts;
        f->config.files.bios = rows[i].bios ? bios : NULL;
        make(f);
        assert_int_equal(loader_dump_tree(f->machine->board, &f->config.files, path, NULL), 0);
        FILE *file = fopen(path, "rb");
        assert_true(fread(tree, 1, sizeof(tree), file) > 0);
        fclose(file);
        int m = fdt_path_offset(tree, "/soc/interrupt-controller@c000000"),
            s = fdt_path_offset(tree, "/soc/interrupt-controller@d000000");
        assert_int_equal(m >= 0, rows[i].plic || rows[i].aplic_m);
        assert_int_equal(m >= 0 && fdt_node_check_compatible(tree, m, "riscv,plic0") == 0, rows[i].plic);
        assert_int_equal(s >= 0, rows[i].aplic_s);
        assert_int_equal(fdt_path_offset(tree, "/soc/interrupt-controller@24000000") >= 0, rows[i].imsic_m);
        assert_int_equal(fdt_path_offset(tree, "/soc/interrupt-controller@28000000") >= 0, rows[i].imsic_s);
        int pci = fdt_path_offset(tree, "/soc/pci@30000000");
        assert_int_equal(fdt_getprop(tree, pci, "msi-parent", NULL) != NULL, rows[i].imsic_s);
        const char *isa = fdt_getprop(tree, fdt_path_offset(tree, "/cpus/cpu@0"), "riscv,isa", NULL);
        assert_non_null(strstr(isa, rows[i].isa));
        machine_free(f->machine);
        f->machine = NULL;
    }
    free(bios);
    free(path);
}

/* Where the guest aims a message is for it to say, so it may be a device, even the one that sends it. */
static void messages_reach_harts_alone(void **state)
{
    struct fixture *f = *state;
    f->config.board.interrupts = BOARD_IMSIC;
    make(f);
    struct board *b = f->machine->board;
    const struct msi_target target = board_messages(b);
    struct interrupt_file *file = f->machine->harts[2].hart->sys.aia[SYS_SUPERVISOR].file;
    interrupt_file_write(file, INTERRUPT_FILE_ENABLED, UINT64_MAX, UINT64_MAX);
    interrupt_file_write(file, INTERRUPT_FILE_DELIVERY, 1, UINT64_MAX);
    msi_send(&target, LAYOUT_IMSIC_S + 2 * IMSIC_PAGE, 11);
    assert_int_equal(interrupt_file_top(file), 11);
    assert_true(f->machine->harts[2].hart->sys.lines & BIT(IRQ_SEI));
    assert_null(f->machine->harts[2].hart->sys.aia[SYS_MACHINE].file);
    pthread_mutex_lock(&b->aplic.lock);
    msi_send(&target, LAYOUT_APLIC_S, 0x100);
    pthread_mutex_unlock(&b->aplic.lock);
    assert_false(b->aplic.domains[APLIC_SUPERVISOR].enable);
    struct irq_line line = board_line(b, LAYOUT_IRQ_UART);
    uint64_t registers = LAYOUT_APLIC_S;
    bus_write(&b->bus, registers, 4, 0x100);
    bus_write(&b->bus, registers + 4 * LAYOUT_IRQ_UART, 4, 6);                    /* Level1 */
    bus_write(&b->bus, registers + 0x3000 + 4 * LAYOUT_IRQ_UART, 4, 2 << 18 | 3); /* hart 2, identity 3 */
    bus_write(&b->bus, registers + 0x1edc, 4, LAYOUT_IRQ_UART);
    irq_set(&line, true);
    assert_int_equal(interrupt_file_top(file), 3);
}

/* ---- Calls ---- */

enum {
    EID_BASE = 0x10,
    EID_TIME = 0x54494d45,
    EID_IPI = 0x735049,
    EID_RFENCE = 0x52464e43,
    EID_HSM = 0x48534d,
    EID_SRST = 0x53525354,
    EID_PMU = 0x504d55,
    EID_DBCN = 0x4442434e,
    EID_SUSP = 0x53555350
};

/* Hart 0 makes a call; returns a0, and a1 in *value unless that is NULL. */
static long call(struct fixture *f, uint64_t extension, uint64_t function, uint64_t a0, uint64_t a1,
                 uint64_t a2, uint64_t a3, uint64_t *value)
{
    struct machine_hart *h = &f->machine->harts[0];
    uint64_t *x = h->hart->hart.x;
    x[10] = a0;
    x[11] = a1;
    x[12] = a2;
    x[13] = a3;
    x[14] = x[15] = 0;
    x[16] = function;
    x[17] = extension;
    sbi_call(h);
    if (value)
        *value = x[11];
    return (long)x[10];
}

static void base_tells_what_is_there(void **state)
{
    struct fixture *f = *state;
    uint64_t value, pc;
    make(f);
    pc = f->machine->harts[0].hart->hart.pc;
    assert_int_equal(call(f, EID_BASE, 0, 0, 0, 0, 0, &value), SBI_SUCCESS);
    assert_int_equal(value, 2 << 24);
    assert_int_equal(f->machine->harts[0].hart->hart.pc, pc + 4);
    static const uint64_t there[] = {EID_BASE, EID_TIME, EID_IPI,  EID_RFENCE, EID_HSM,
                                     EID_SRST, EID_PMU,  EID_DBCN, EID_SUSP};
    for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
        assert_int_equal(call(f, EID_BASE, 3, there[i], 0, 0, 0, &value), SBI_SUCCESS);
        assert_int_not_equal(value, 0);
    }
    call(f, EID_BASE, 3, 0, 0, 0, 0, &value); /* legacy: set_timer */
    assert_int_equal(value, 0);
    assert_int_equal(call(f, 0, 0, 0, 0, 0, 0, NULL), SBI_ERR_NOT_SUPPORTED);
    assert_int_equal(call(f, EID_BASE, 7, 0, 0, 0, 0, NULL), SBI_ERR_NOT_SUPPORTED);
    assert_int_equal(call(f, EID_RFENCE, 3, 0, 0, 0, 0, NULL), SBI_ERR_NOT_SUPPORTED);
    assert_int_equal(call(f, UINT64_MAX, UINT64_MAX, 0, 0, 0, 0, NULL), SBI_ERR_NOT_SUPPORTED);
}

static bool has_ssi(const struct fixture *f, unsigned hart)
{
    return f->machine->harts[hart].hart->sys.mip >> IRQ_SSI & 1;
}

static void ipis_go_to_the_harts_named(void **state)
{
    struct fixture *f = *state;
    make(f);
    assert_int_equal(call(f, EID_IPI, 0, 2, 1, 0, 0, NULL), SBI_SUCCESS); /* bit 1 from hart 1 on: hart 2 */
    assert_false(has_ssi(f, 0) || has_ssi(f, 1));
    assert_true(has_ssi(f, 2));
    assert_int_equal(call(f, EID_IPI, 0, 1 << HARTS, 0, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_IPI, 0, 1, HARTS, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_IPI, 0, 1, 64, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_IPI, 0, UINT64_C(1) << 63, 1, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_false(has_ssi(f, 0) || has_ssi(f, 1));
    assert_int_equal(call(f, EID_IPI, 0, 0, UINT64_MAX, 0, 0, NULL), SBI_SUCCESS);
    assert_true(has_ssi(f, 0) && has_ssi(f, 1));
}

static void harts_have_states(void **state)
{
    struct fixture *f = *state;
    const uint64_t code = LAYOUT_RAM + 0x1000;
    uint64_t value;
    make(f);
    assert_int_equal(call(f, EID_HSM, 2, 0, 0, 0, 0, &value), SBI_SUCCESS);
    assert_int_equal(value, HART_STARTED);
    assert_int_equal(call(f, EID_HSM, 2, HARTS, 0, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_HSM, 0, HARTS, code, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_HSM, 0, 1, LAYOUT_UART, 0, 0, NULL), SBI_ERR_INVALID_ADDRESS);
    assert_int_equal(call(f, EID_HSM, 0, 1, code + 1, 0, 0, NULL), SBI_ERR_INVALID_ADDRESS);
    assert_int_equal(call(f, EID_HSM, 0, 0, code, 0, 0, NULL), SBI_ERR_ALREADY_AVAILABLE);
    assert_int_equal(call(f, EID_HSM, 0, 1, code, 77, 0, NULL), SBI_SUCCESS);
    call(f, EID_HSM, 2, 1, 0, 0, 0, &value);
    assert_int_equal(value, HART_START_PENDING);
    assert_int_equal(f->machine->harts[1].start.a1, 77);
    assert_int_equal(call(f, EID_HSM, 3, 1, code, 0, 0, NULL), SBI_ERR_INVALID_PARAM); /* reserved */
    assert_int_equal(call(f, EID_HSM, 3, 0x10000000, code, 0, 0, NULL),
                     SBI_ERR_NOT_SUPPORTED); /* the platform's own */
    assert_int_equal(call(f, EID_HSM, 3, 0x80000000, 0, 0, 0, NULL), SBI_ERR_INVALID_ADDRESS);
    assert_int_equal(call(f, EID_SUSP, 0, 1, code, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_SUSP, 0, 0, code, 0, 0, NULL), SBI_ERR_DENIED); /* hart 1 starts */
}

static void counters_are_configured(void **state)
{
    struct fixture *f = *state;
    const struct hart_sys *sys;
    uint64_t counter, value;
    make(f);
    sys = &f->machine->harts[0].hart->sys;
    call(f, EID_PMU, 0, 0, 0, 0, 0, &value);
    assert_int_equal(value, SBI_PMU_COUNTERS);
    assert_int_equal(call(f, EID_PMU, 1, 2, 0, 0, 0, &value), SBI_SUCCESS);
    assert_int_equal(value, RV_CSR_HPMCOUNTER3 | 63 << 12);
    assert_int_equal(call(f, EID_PMU, 1, SBI_PMU_COUNTERS, 0, 0, 0, NULL), SBI_ERR_INVALID_PARAM);

    const uint64_t all = UINT64_MAX >> (64 - SBI_PMU_COUNTERS);
    assert_int_equal(call(f, EID_PMU, 2, 0, all, 0x20, EVENT_RETIRED, &counter),
                     SBI_SUCCESS); /* not in U-mode */
    assert_int_equal(counter, SBI_PMU_PROGRAMMABLE);
    assert_int_equal(sys->mhpmevent[3], EVENT_RETIRED | EVENT_UINH);
    assert_int_equal(call(f, EID_PMU, 3, counter, 1, 1, 1000, NULL), SBI_SUCCESS);
    assert_int_equal(sys->counter[3].value, 1000);
    assert_int_equal(sys->mcountinhibit & 1 << 3, 0);
    assert_int_equal(call(f, EID_PMU, 3, counter, 1, 0, 0, NULL), SBI_ERR_ALREADY_STARTED);
    assert_int_equal(call(f, EID_PMU, 4, counter, 1, 1, 0, NULL), SBI_SUCCESS);
    assert_int_not_equal(sys->mcountinhibit & 1 << 3, 0);
    assert_int_equal(sys->mhpmevent[3], 0);
    assert_int_equal(call(f, EID_PMU, 4, counter, 1, 0, 0, NULL), SBI_ERR_ALREADY_STOPPED);
    assert_int_equal(call(f, EID_PMU, 2, 0, all, 0, 3, NULL), SBI_ERR_NOT_SUPPORTED); /* cache references */
    assert_int_equal(call(f, EID_PMU, 2, 0, all, 0, 0xf0000, NULL),
                     SBI_ERR_NOT_SUPPORTED); /* the firmware's own */
    assert_int_equal(call(f, EID_PMU, 2, 1, all, 0, 1, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_PMU, 2, 64, 1, 0, 1, NULL), SBI_ERR_INVALID_PARAM);
}

static void the_debug_console_is_the_uart(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "hello, console";
    char got[32] = "";
    uint64_t value;
    make(f);
    gmem_load(&f->machine->board->memory, LAYOUT_RAM, text, sizeof(text));
    assert_int_equal(call(f, EID_DBCN, 0, sizeof(text) - 1, LAYOUT_RAM, 0, 0, &value), SBI_SUCCESS);
    assert_int_equal(value, sizeof(text) - 1);
    assert_int_equal(call(f, EID_DBCN, 2, '!', 0, 0, 0, NULL), SBI_SUCCESS);
    assert_int_equal(call(f, EID_DBCN, 1, 8, LAYOUT_RAM, 0, 0, &value), SBI_SUCCESS);
    assert_int_equal(value, 0);
    assert_int_equal(call(f, EID_DBCN, 0, 1, LAYOUT_UART, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_DBCN, 0, 64 * MIB + 1, LAYOUT_RAM, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_DBCN, 0, 1, LAYOUT_RAM, 1, 0, NULL), SBI_ERR_INVALID_PARAM);
    machine_free(f->machine);
    console_free(f->serial); /* writes what it holds */
    f->machine = NULL;
    f->serial = NULL;
    char *path = path_of(f, "serial");
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, got, sizeof(got) - 1), sizeof(text));
    assert_string_equal(got, "hello, console!");
    close(fd);
    free(path);
}

static void resets_end_the_machine(void **state)
{
    struct fixture *f = *state;
    make(f);
    assert_int_equal(call(f, EID_SRST, 0, 3, 0, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_SRST, 0, 0, 2, 0, 0, NULL), SBI_ERR_INVALID_PARAM);
    assert_int_equal(call(f, EID_SRST, 0, 0xf0000000, 0, 0, 0, NULL), SBI_ERR_NOT_SUPPORTED);
    assert_int_equal(f->machine->end, MACHINE_RUNS);
    call(f, EID_SRST, 0, 1, 0, 0, 0, NULL);
    assert_int_equal(f->machine->end, MACHINE_REBOOT);
    call(f, EID_SRST, 0, 0, 0, 0, 0, NULL); /* too late */
    assert_int_equal(f->machine->end, MACHINE_REBOOT);
}

static uint64_t random_argument(uint64_t *seed)
{
    static const uint64_t values[] = {0,          1,           2,
                                      3,          64,          63,
                                      HARTS,      UINT64_MAX,  UINT64_C(1) << 63,
                                      LAYOUT_RAM, LAYOUT_UART, LAYOUT_RAM + 64 * MIB - 1,
                                      0x80000000, 0x10000,     31,
                                      4096};
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    uint64_t r = *seed >> 33;
    return r % 8 ? values[r / 8 % ARRAY_SIZE(values)] : *seed;
}

/* Whatever a kernel passes is answered. Calls that sleep or end something are left out. */
static void hostile_calls_are_answered(void **state)
{
    static const struct {
        uint64_t extension, functions;
    } calls[] = {{EID_BASE, 8}, {EID_TIME, 2}, {EID_IPI, 2}, {EID_RFENCE, 8}, {EID_PMU, 9}, {EID_DBCN, 4}};
    struct fixture *f = *state;
    uint64_t seed = 1;
    make(f);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned which = i % ARRAY_SIZE(calls);
        uint64_t function = i / ARRAY_SIZE(calls) % calls[which].functions;
        uint64_t a[4];
        for (unsigned k = 0; k < ARRAY_SIZE(a); k++)
            a[k] = random_argument(&seed);
        long error = call(f, calls[which].extension, function, a[0], a[1], a[2], a[3], NULL);
        assert_true(error <= 0 && error >= SBI_ERR_NO_SHMEM);
    }
    assert_int_equal(f->machine->end, MACHINE_RUNS);
}

/* Firmware of a few instructions, in M-mode on all harts, which switches the machine off by the finisher. */
static void a_program_runs_and_ends_the_machine(void **state)
{
    static const uint32_t program[] = {
        0x001002b7, /* lui t0, 0x100 */
        0x00005337, /* lui t1, 5 */
        0x55530313, /* addi t1, t1, 0x555 */
        0x0062a023, /* sw t1, 0(t0) */
        0x0000006f, /* j . */
    };
    struct fixture *f = *state;
    enum machine_end end = MACHINE_RUNS;
    char *path = write_file(f, "bios", program, sizeof(program));
    f->config.files = (struct loader_files){.bios = path};
    assert_int_equal(machine_new(&f->machine, &f->config, NULL), 0);
    assert_int_equal(machine_run(f->machine, &end, NULL), 0);
    assert_int_equal(end, MACHINE_POWER_OFF);
    assert_true(machine_stats(f->machine).instructions >= 4);
    free(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(kernel_initrd_and_tree_are_placed),
        TEST(bad_kernels_are_refused),
        TEST(firmware_is_told_of_the_kernel),
        TEST(the_tree_names_what_the_board_has),
        TEST(the_tree_names_the_interrupt_controllers),
        TEST(messages_reach_harts_alone),
        TEST(base_tells_what_is_there),
        TEST(ipis_go_to_the_harts_named),
        TEST(harts_have_states),
        TEST(counters_are_configured),
        TEST(the_debug_console_is_the_uart),
        TEST(resets_end_the_machine),
        TEST(hostile_calls_are_answered),
        TEST(a_program_runs_and_ends_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
