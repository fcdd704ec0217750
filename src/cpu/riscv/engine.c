#include "cpu/riscv/engine.h"

#include "base/util.h"
#include "cpu/riscv/jit.h"
#include "cpu/riscv/unit.h"
#include "host/signal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void engine_run(struct hart *hart)
{
    static void (*const run[])(struct hart *) = {
        [ENGINE_INTERP] = interp_run, [ENGINE_JIT] = jit_run, [ENGINE_LOCKSTEP] = lockstep_run};
    run[code_engine(hart->code)->kind](hart);
}

void engine_enter_thread(struct hart *hart)
{
    if (hart_translates(hart))
        host_guest_thread_enter(&hart->host, hart->mem_base);
}

void engine_leave_thread(struct hart *hart)
{
    if (hart_translates(hart))
        host_guest_thread_leave(&hart->host);
}

void engine_fork_child(struct hart *hart)
{
    if (hart_translates(hart))
        host_guest_thread_fork_child(&hart->host);
}

HOST_NO_TSAN bool engine_fault(struct hart *hart, int host_signal, uint64_t host_address, void *ucontext)
{
    return interp_fault(hart, host_signal, host_address, ucontext) ||
           jit_fault(hart, host_signal, host_address, ucontext);
}

HOST_NO_TSAN void engine_interrupt(struct hart *hart, void *ucontext)
{
    if (hart_translates(hart))
        jit_interrupt(hart, ucontext);
}

void engine_kick(struct hart *hart)
{
    hart_kick(hart);
    if (hart_translates(hart))
        host_guest_thread_interrupt(hart->host.pid, hart->host.tid);
}

/* One that arrives in a system call was made by the guest, whatever it says of itself: none of ours single-steps there. */
HOST_NO_TSAN bool engine_owns_trap(const siginfo_t *info, const void *ucontext)
{
    return host_guest_thread_interrupted(info) || (info->si_code > 0 && !host_context_at_call(ucontext));
}

/* ---- Options ---- */

/* A word of the text, up to `end`, is NAME or NAME:NUMBER. */
static bool read_number(const char *word, const char *end, const char *name, uint64_t *value)
{
    size_t length = strlen(name);
    const char *digits = word + length + 1;
    if (end <= digits || strncmp(word, name, length) != 0 || word[length] != ':' ||
        !isdigit((unsigned char)*digits))
        return false;
    char *stop;
    *value = strtoull(digits, &stop, 0);
    return stop == end;
}

static bool is_word(const char *word, const char *end, const char *name)
{
    return (size_t)(end - word) == strlen(name) && strncmp(word, name, strlen(name)) == 0;
}

static bool parse_switch(struct engine_options *o, const char *word, const char *end)
{
    const struct {
        const char *name;
        bool *value;
    } switches[] = {
        {"few-registers", &o->modes.few_registers},
        {"no-returns", &o->modes.no_returns},
        {"no-chain", &o->modes.no_chain},
        {"baseline", &o->modes.baseline},
    };
    for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
        if (is_word(word, end, switches[i].name))
            return *switches[i].value = true;
    return false;
}

static bool parse_number(struct engine_options *o, const char *word, const char *end)
{
    uint64_t value;
    if (read_number(word, end, "random", &value) && value <= UINT32_MAX)
        o->modes.random = (uint32_t)value;
    else if (read_number(word, end, "threshold", &value) && value <= INT32_MAX)
        o->threshold = (unsigned)value;
    else if (read_number(word, end, "quick", &value) && value <= INT32_MAX)
        o->quick = (unsigned)value;
    else if (read_number(word, end, "insns", &value) && value >= 1 && value <= ENGINE_MAX_INSNS)
        o->max_insns = (unsigned)value;
    else if (read_number(word, end, "hot", &value) && value <= INT32_MAX)
        o->hot = (unsigned)value;
    else if (read_number(word, end, "threads", &value) && value <= ENGINE_THREADS_ALWAYS)
        o->threads = (enum engine_threads)value;
    else if (read_number(word, end, "cache", &value) && value <= ENGINE_MAX_CACHE)
        o->cache_bytes = value;
    else
        return false;
    return true;
}

static bool parse_dump(struct engine_options *o, const char *word, const char *end)
{
    static const char *const names[] = {"guest", "ir", "host"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (is_word(word, end, names[i])) {
            o->dump |= 1u << i;
            return true;
        }
    return false;
}

typedef bool parse_word(struct engine_options *options, const char *word, const char *end);

static bool is_option(struct engine_options *options, const char *word, const char *end)
{
    return parse_switch(options, word, end) || parse_number(options, word, end);
}

static bool parse_list(struct engine_options *options, const char *text, parse_word *parse)
{
    for (const char *word = text;; word++) {
        const char *end = word + strcspn(word, ",");
        if (!parse(options, word, end))
            return false;
        if (!*end)
            return true;
        word = end;
    }
}

bool engine_parse_options(struct engine_options *options, const char *text)
{
    return parse_list(options, text, is_option);
}

bool engine_parse_dump(struct engine_options *options, const char *text)
{
    return parse_list(options, text, parse_dump);
}

bool engine_parse_kind(struct engine_options *options, const char *text)
{
    static const char *const names[] = {
        [ENGINE_INTERP] = "interp", [ENGINE_JIT] = "jit", [ENGINE_LOCKSTEP] = "lockstep"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(text, names[i]) == 0) {
            options->kind = (enum engine_kind)i;
            return true;
        }
    return false;
}
