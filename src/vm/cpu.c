#include "vm/cpu.h"

#include "base/error.h"
#include "base/util.h"
#include "isa/riscv/isa.h"

#include <string.h>

/* What an extension cannot be without. */
static const struct {
    const char *name, *needs;
} needs[] = {
    {"f", "zicsr"}, {"d", "f"},     {"zfa", "f"},   {"zfhmin", "f"},
    {"zcb", "c"},   {"zacas", "a"}, {"zawrs", "a"}, {"zcmop", "c"},
};

static const char *const general[] = {"i", "m",     "a",       "f",
                                      "d", "zicsr", "zifencei"}; /* what the letter g stands for */

const char *guise_cpu_extension(unsigned index)
{
    return index < RV_EXT_PROGRAM_COUNT ? rv_ext_name((enum rv_ext)index) : NULL;
}

static uint64_t max_extensions(void)
{
    return (UINT64_C(1) << RV_EXT_PROGRAM_COUNT) - 1;
}

/* The bit of the extension named by `length` bytes at `name`, 0 when there is none. */
static uint64_t extension_bit(const char *name, size_t length)
{
    for (unsigned i = 0; i < RV_EXT_PROGRAM_COUNT; i++) {
        const char *known = rv_ext_name((enum rv_ext)i);
        if (strncasecmp(known, name, length) == 0 && known[length] == '\0')
            return UINT64_C(1) << i;
    }
    return 0;
}

static uint64_t bit(const char *name)
{
    return extension_bit(name, strlen(name));
}

/* Adds what members of `set` need, or with `remove` takes away members whose needs are missing, until nothing changes. */
static uint64_t close_needs(uint64_t set, bool remove)
{
    for (uint64_t before = 0; before != set;) {
        before = set;
        for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
            if (!(set & bit(needs[i].name)) || (set & bit(needs[i].needs)))
                continue;
            set = remove ? set & ~bit(needs[i].name) : set | bit(needs[i].needs);
        }
    }
    return set;
}

static int unknown(const char *name, size_t length, struct guise_error *err)
{
    return error_set(err, GUISE_E_CONFIG, "unknown CPU extension '%.*s' (--cpu help lists the known ones)",
                     (int)length, name);
}

/* "rv64gc_zba": single letters, then longer names after underscores. */
static int parse_base(const char *text, size_t length, uint64_t *set, struct guise_error *err)
{
    const char *end = text + length;
    const char *at = text + 4;
    *set = 0;
    for (; at < end && *at != '_' && *at != 'z' && *at != 'Z'; at++) {
        if (*at == 'g' || *at == 'G') {
            for (size_t i = 0; i < ARRAY_SIZE(general); i++)
                *set |= bit(general[i]);
        } else if (extension_bit(at, 1)) {
            *set |= extension_bit(at, 1);
        } else {
            return unknown(at, 1, err);
        }
    }
    while (at < end) {
        if (*at == '_')
            at++;
        size_t name = MIN(strcspn(at, "_"), (size_t)(end - at));
        if (!extension_bit(at, name))
            return unknown(at, name, err);
        *set |= extension_bit(at, name);
        at += name;
    }
    *set = close_needs(*set, false);
    return 0;
}

/* "+zba", "zba", "zba=on", "-zba", "zba=off" */
static int parse_change(const char *text, size_t length, uint64_t *set, struct guise_error *err)
{
    bool off = *text == '-';
    if (*text == '-' || *text == '+') {
        text++;
        length--;
    }
    size_t name = MIN(strcspn(text, "="), length);
    const char *value = text + name;
    size_t value_length = length - name;
    if (value_length == 4 && memcmp(value, "=off", 4) == 0)
        off = true;
    else if (value_length && !(value_length == 3 && memcmp(value, "=on", 3) == 0))
        return error_set(err, GUISE_E_CONFIG, "a CPU extension is on or off: '%.*s'", (int)length, text);
    uint64_t which = extension_bit(text, name);
    if (!which)
        return unknown(text, name, err);
    if (off && which == bit("i"))
        return error_set(err, GUISE_E_CONFIG, "the base instruction set i cannot be off");
    *set = off ? close_needs(*set & ~which, true) : close_needs(*set | which, false);
    return 0;
}

int cpu_parse(const char *text, uint64_t *extensions, struct guise_error *err)
{
    uint64_t set = max_extensions();
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        int r = 0;
        if (length == 3 && at == text && memcmp(at, "max", 3) == 0)
            set = max_extensions();
        else if (length > 4 && at == text && strncasecmp(at, "rv64", 4) == 0)
            r = parse_base(at, length, &set, err);
        else
            r = parse_change(at, length, &set, err);
        if (r)
            return r;
        at += length;
        if (!*at)
            break;
    }
    if (!(set & bit("i")))
        return error_set(err, GUISE_E_CONFIG, "CPU '%s' lacks the base instruction set i", text);
    *extensions = set;
    return 0;
}
