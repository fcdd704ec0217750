#include "vm/vm.h"

#include "base/error.h"
#include "base/util.h"
#include "cpu/riscv/sys_bits.h"
#include "vm/cpu.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESS_BITS_MIN = 39, ADDRESS_BITS_MAX = 46 };

#define MIB UINT64_C(0x100000)

/* Of a machine. The translator and the interpreter do not care; a kernel needs some, and so do the harts' threads. */
#define MEMORY_DEFAULT (1024 * MIB)
#define MEMORY_MIN     (64 * MIB)
#define MEMORY_MAX     (UINT64_C(0x100000) * MIB)
enum { HARTS_DEFAULT = 1, HARTS_MAX = 64, TIMEOUT_MAX = 1000000000 };

struct guise_vm *guise_vm_new(enum guise_kind kind)
{
    struct guise_vm *vm = calloc(1, sizeof(*vm));
    if (!vm)
        return NULL;
    vm->kind = kind;
    vm->bits = ADDRESS_BITS_MIN;
    vm->memory_bytes = MEMORY_DEFAULT;
    vm->harts = HARTS_DEFAULT;
    vm->engine_parsed = (struct engine_options)ENGINE_DEFAULTS;
    if (cpu_parse("max", &vm->extensions, NULL)) {
        free(vm);
        return NULL;
    }
    return vm;
}

/* ---- Properties ---- */

static int check_not_empty(struct guise_vm *vm, const char *value)
{
    (void)vm;
    return *value ? 0 : GUISE_E_CONFIG;
}

static int check_engine(struct guise_vm *vm, const char *value)
{
    return engine_parse_kind(&vm->engine_parsed, value) ? 0 : GUISE_E_CONFIG;
}

static int check_engine_options(struct guise_vm *vm, const char *value)
{
    return engine_parse_options(&vm->engine_parsed, value) ? 0 : GUISE_E_CONFIG;
}

static int check_dump(struct guise_vm *vm, const char *value)
{
    return engine_parse_dump(&vm->engine_parsed, value) ? 0 : GUISE_E_CONFIG;
}

static int check_on(struct guise_vm *vm, const char *value)
{
    (void)vm;
    return strcmp(value, "on") == 0 || strcmp(value, "off") == 0 ? 0 : GUISE_E_CONFIG;
}

static int check_stats(struct guise_vm *vm, const char *value)
{
    (void)vm;
    return strcmp(value, "text") == 0 || strcmp(value, "json") == 0 ? 0 : GUISE_E_CONFIG;
}

static int check_number(const char *value, unsigned long least, unsigned long most, unsigned *number)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || n < least || n > most)
        return GUISE_E_CONFIG;
    *number = (unsigned)n;
    return 0;
}

static int check_bits(struct guise_vm *vm, const char *value)
{
    return check_number(value, ADDRESS_BITS_MIN, ADDRESS_BITS_MAX, &vm->bits);
}

static int check_harts(struct guise_vm *vm, const char *value)
{
    return check_number(value, 1, HARTS_MAX, &vm->harts);
}

static int check_timeout(struct guise_vm *vm, const char *value)
{
    return check_number(value, 1, TIMEOUT_MAX, &vm->timeout_seconds);
}

/* "512M", "2G"; a number alone is MiB. */
static int check_memory(struct guise_vm *vm, const char *value)
{
    char *end;
    unsigned long long n = strtoull(value, &end, 10);
    uint64_t unit = *end == 'G' || *end == 'g' ? 1024 * MIB : MIB;
    if (*end && strchr("GgMm", *end))
        end++;
    if (*value < '0' || *value > '9' || *end || n > MEMORY_MAX / unit || n * unit < MEMORY_MIN)
        return GUISE_E_CONFIG;
    vm->memory_bytes = n * unit;
    return 0;
}

static int check_serial(struct guise_vm *vm, const char *value)
{
    (void)vm;
    return strcmp(value, "stdio") == 0 || strcmp(value, "pty") == 0 || strcmp(value, "none") == 0 ||
                   (strncmp(value, "file:", 5) == 0 && value[5])
               ? 0
               : GUISE_E_CONFIG;
}

static int check_net(struct guise_vm *vm, const char *value)
{
    (void)vm;
    return strcmp(value, "none") == 0 || strcmp(value, "user") == 0 || strncmp(value, "user,", 5) == 0
               ? 0
               : GUISE_E_CONFIG;
}

static int check_virtio(struct guise_vm *vm, const char *value)
{
    (void)vm;
    return strcmp(value, "pci") == 0 || strcmp(value, "mmio") == 0 ? 0 : GUISE_E_CONFIG;
}

static int check_interrupts(struct guise_vm *vm, const char *value)
{
    (void)vm;
    return strcmp(value, "plic") == 0 || strcmp(value, "aplic") == 0 || strcmp(value, "imsic") == 0
               ? 0
               : GUISE_E_CONFIG;
}

/* SATP_SV39 and so on, or 0. */
static uint8_t parse_mmu(const char *text)
{
    static const char *const names[] = {"sv39", "sv48", "sv57"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(text, names[i]) == 0)
            return (uint8_t)(SATP_SV39 + i);
    return 0;
}

static int check_mmu(struct guise_vm *vm, const char *value)
{
    vm->satp_mode = parse_mmu(value);
    return vm->satp_mode ? 0 : GUISE_E_CONFIG;
}

static int check_descriptor(struct guise_vm *vm, const char *value)
{
    (void)vm;
    char *end;
    unsigned long fd = strtoul(value, &end, 10);
    return *value < '0' || *value > '9' || *end || fd > INT_MAX || fcntl((int)fd, F_GETFD) < 0
               ? GUISE_E_CONFIG
               : 0;
}

static int check_env(struct guise_vm *vm, const char *value)
{
    (void)vm;
    return *value && *value != '=' ? 0 : GUISE_E_CONFIG;
}

#define TEXT(member) offsetof(struct guise_vm, member), false
#define LIST(member) offsetof(struct guise_vm, member), true

struct property {
    const char *key;
    size_t offset; /* of a char * or of a struct list in struct guise_vm */
    bool list;
    int (*check)(struct guise_vm *vm, const char *value); /* NULL: any text is good */
    const char *expected;                                 /* for the message when `check` says no */
};

#define COMMON_PROPERTIES                                                                             \
    {"cpu", TEXT(cpu), NULL, NULL}, {"stats", TEXT(stats), check_stats, "text or json"},              \
        {"engine-options", TEXT(engine_options), check_engine_options,                                \
         "a list of random:SEED, few-registers, no-chain, no-returns, baseline, threshold:N, hot:N, " \
         "threads:0|1|2, insns:N, cache:BYTES"},                                                      \
    {                                                                                                 \
        "dump", TEXT(dump), check_dump, "a list of guest, ir, host"                                   \
    }

static const struct property process_properties[] = {
    {"program", TEXT(program), check_not_empty, "a program"},
    {"arg", LIST(args), NULL, NULL},
    {"argv0", TEXT(argv0), NULL, NULL},
    {"env", LIST(env), check_env, "NAME=VALUE or NAME"},
    {"cwd", TEXT(cwd), check_not_empty, "a directory"},
    {"sysroot", TEXT(sysroot), check_not_empty, "a directory"},
    {"root", TEXT(root), check_not_empty, "a directory or an image's name"},
    {"bind", LIST(binds), check_not_empty, "SRC or SRC:DST"},
    {"strace", TEXT(strace), check_on, "on or off"},
    {"address-bits", TEXT(address_bits), check_bits, "a number from 39 to 46"},
    {"monitor", TEXT(monitor), check_not_empty, "the path of the guise command"},
    {"engine", TEXT(engine), check_engine, "interp, jit or lockstep"},
    COMMON_PROPERTIES,
    /* For a monitor that is started again inside a root; not part of the library's documentation. */
    {"execfn", TEXT(execfn), NULL, NULL},
    {"fake-ids", TEXT(fake_ids), check_on, "on or off"},
    {"ids", TEXT(ids), NULL, NULL},
    {"monitor-fd", TEXT(monitor_fd), check_descriptor, "a descriptor"},
    {"report-fd", TEXT(report_fd), check_descriptor, "a descriptor"},
    {0},
};

static const struct property machine_properties[] = {
    {"image", TEXT(image), check_not_empty, "an image's name"},
    {"kernel", TEXT(kernel), check_not_empty, "a file"},
    {"initrd", TEXT(initrd), check_not_empty, "a file"},
    {"append", TEXT(append), NULL, NULL},
    {"bios", TEXT(bios), check_not_empty, "a file"},
    {"disk", LIST(disks), check_not_empty, "FILE or FILE,ro"},
    {"net", TEXT(net), check_net, "none or user[,hostfwd=tcp:[ADDRESS]:PORT-:PORT]..."},
    {"cpus", TEXT(cpus), check_harts, "a number from 1 to 64"},
    {"memory", TEXT(memory), check_memory, "a size of 64M or more, like 512M or 2G"},
    {"serial", TEXT(serial), check_serial, "stdio, file:FILE, pty or none"},
    {"console", TEXT(console), check_serial, "stdio, file:FILE, pty or none"},
    {"virtio", TEXT(virtio), check_virtio, "pci or mmio"},
    {"interrupts", TEXT(interrupts), check_interrupts, "plic, aplic or imsic"},
    {"mmu", TEXT(mmu), check_mmu, "sv39, sv48 or sv57"},
    {"reboot", TEXT(reboot), check_on, "on or off"},
    {"temporary", TEXT(temporary), check_on, "on or off"},
    {"timeout", TEXT(timeout), check_timeout, "a number of seconds"},
    {"dump-dtb", TEXT(dump_dtb), check_not_empty, "a file"},
    {"engine", TEXT(engine), check_engine, "interp, jit or lockstep"},
    COMMON_PROPERTIES,
    {0},
};

static const struct property *properties_of(const struct guise_vm *vm)
{
    return vm->kind == GUISE_MACHINE ? machine_properties : process_properties;
}

static const struct property *property_find(const struct guise_vm *vm, const char *key)
{
    for (const struct property *p = properties_of(vm); p->key; p++)
        if (strcmp(p->key, key) == 0)
            return p;
    return NULL;
}

static char **text_of(struct guise_vm *vm, const struct property *property)
{
    return (char **)((char *)vm + property->offset);
}

static struct list *list_of(struct guise_vm *vm, const struct property *property)
{
    return (struct list *)((char *)vm + property->offset);
}

static int store(struct guise_vm *vm, const struct property *property, const char *value)
{
    if (property->list)
        return list_add(list_of(vm, property), value) ? 0 : GUISE_E_NOMEM;
    char *copy = strdup(value);
    if (!copy)
        return GUISE_E_NOMEM;
    free(*text_of(vm, property));
    *text_of(vm, property) = copy;
    return 0;
}

int guise_vm_set(struct guise_vm *vm, const char *key, const char *value, struct guise_error *err)
{
    const struct property *property = property_find(vm, key);
    if (!property)
        return error_set(err, GUISE_E_CONFIG, "a VM has no property '%s'", key);
    if (property->check && property->check(vm, value))
        return error_set(err, GUISE_E_CONFIG, "%s: '%s' should be %s", key, value, property->expected);
    if (strcmp(key, "cpu") == 0) {
        int r = cpu_parse(value, &vm->extensions, err);
        if (r)
            return r;
    }
    return store(vm, property, value) ? error_set(err, GUISE_E_NOMEM, "out of memory") : 0;
}

void guise_vm_free(struct guise_vm *vm)
{
    if (!vm)
        return;
    for (const struct property *p = properties_of(vm); p->key; p++) {
        if (p->list)
            list_release(list_of(vm, p));
        else
            free(*text_of(vm, p));
    }
    free(vm);
}

int guise_vm_pid(const struct guise_vm *vm)
{
    return vm->pid;
}
