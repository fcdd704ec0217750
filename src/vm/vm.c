#include "vm/vm.h"

#include "base/error.h"
#include "base/util.h"
#include "vm/cpu.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESS_BITS_MIN = 39, ADDRESS_BITS_MAX = 46 };

struct guise_vm *guise_vm_new(enum guise_kind kind)
{
    struct guise_vm *vm = calloc(1, sizeof(*vm));
    if (!vm)
        return NULL;
    vm->kind = kind;
    vm->bits = ADDRESS_BITS_MIN;
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

static int check_bits(struct guise_vm *vm, const char *value)
{
    char *end;
    unsigned long bits = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || bits < ADDRESS_BITS_MIN || bits > ADDRESS_BITS_MAX)
        return GUISE_E_CONFIG;
    vm->bits = (unsigned)bits;
    return 0;
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

static const struct property {
    const char *key;
    size_t offset; /* of a char * or of a struct list in struct guise_vm */
    bool list;
    int (*check)(struct guise_vm *vm, const char *value); /* NULL: any text is good */
    const char *expected;                                 /* for the message when `check` says no */
} properties[] = {
    {"program", TEXT(program), check_not_empty, "a program"},
    {"arg", LIST(args), NULL, NULL},
    {"argv0", TEXT(argv0), NULL, NULL},
    {"env", LIST(env), check_env, "NAME=VALUE or NAME"},
    {"cwd", TEXT(cwd), check_not_empty, "a directory"},
    {"sysroot", TEXT(sysroot), check_not_empty, "a directory"},
    {"root", TEXT(root), check_not_empty, "a directory or an image's name"},
    {"bind", LIST(binds), check_not_empty, "SRC or SRC:DST"},
    {"engine", TEXT(engine), check_engine, "interp, jit or lockstep"},
    {"cpu", TEXT(cpu), NULL, NULL},
    {"strace", TEXT(strace), check_on, "on or off"},
    {"stats", TEXT(stats), check_stats, "text or json"},
    {"address-bits", TEXT(address_bits), check_bits, "a number from 39 to 46"},
    {"monitor", TEXT(monitor), check_not_empty, "the path of the guise command"},
    /* For developers, and for a monitor that is started again inside a root; not part of the library's documentation. */
    {"engine-options", TEXT(engine_options), check_engine_options,
     "a list of random:SEED, few-registers, no-chain, no-returns, baseline, threshold:N, hot:N, threads:0|1|2, insns:N, cache:BYTES"},
    {"dump", TEXT(dump), check_dump, "a list of guest, ir, host"},
    {"execfn", TEXT(execfn), NULL, NULL},
    {"fake-ids", TEXT(fake_ids), check_on, "on or off"},
    {"ids", TEXT(ids), NULL, NULL},
    {"monitor-fd", TEXT(monitor_fd), check_descriptor, "a descriptor"},
    {"report-fd", TEXT(report_fd), check_descriptor, "a descriptor"},
};

static const struct property *property_find(const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
        if (strcmp(properties[i].key, key) == 0)
            return &properties[i];
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
    const struct property *property = property_find(key);
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
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
        if (properties[i].list)
            list_release(list_of(vm, &properties[i]));
        else
            free(*text_of(vm, &properties[i]));
    }
    free(vm);
}

int guise_vm_pid(const struct guise_vm *vm)
{
    return vm->pid;
}
