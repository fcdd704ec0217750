#include "jit/quick.h"

#include "jit/assembler.h"

#include <stdlib.h>
#include <string.h>

/* `ir` is what the target asks whose code it is: it has no loop, and memory is flat. */
static void begin(struct jit_assembler *as, struct ir *ir, const struct jit_quick_code *code)
{
    ir->pc = code->pc;
    ir->loop = ir->direct = false;
    as->ir = ir;
    as->stop = (struct jit_stop){NULL, NULL};
    as->in_cold = false;
    as->left = JIT_UNIT_MAX - 256;
    as->site_count = 0;
}

/* From the last instruction to the first, as all hot code is written. `at`, if not NULL: an exec address; the instruction that has
 * it is the result, or NULL. */
static const struct jit_quick_ins *emit(struct jit_assembler *as, const struct jit_quick_code *code,
                                        const uint8_t *at)
{
    const struct jit_quick_ins *found = NULL;
    as->target->quick_end(as, code);
    for (const struct jit_quick_ins *ins = code->ins + code->count; ins-- > code->ins;) {
        const uint8_t *end = jit_here(as);
        as->target->quick_ins(as, ins);
        if (at && at >= jit_here(as) && at < end)
            found = ins;
    }
    as->target->quick_begin(as, code);
    return found;
}

void jit_quick(struct jit_assembler *as, struct ir *ir, const struct jit_quick_code *code,
               const struct jit_thunks *thunks, struct jit_room room, unsigned first_site,
               struct jit_result *result)
{
    jit_begin_room(as, thunks, room, first_site);
    begin(as, ir, code);
    emit(as, code, NULL);
    jit_end_room(as, room, result);
}

/* All slots are home: in memory, or in the registers as they were. */
static void save_pins(const struct jit_assembler *as, const struct jit_fault *fault, void *state_register)
{
    const struct ir_machine *m = &as->machine->ir;
    for (unsigned slot = 0; slot < m->pin_count; slot++) {
        unsigned reg = as->slot_pin[slot];
        const uint64_t *value = reg < JIT_FP ? &fault->integer[reg] : &fault->fp[reg - JIT_FP];
        memcpy((char *)state_register + m->slots[slot].offset, value, sizeof(*value));
    }
}

static uint64_t address_of(const struct jit_assembler *as, const struct jit_quick_ins *ins,
                           const void *state_register)
{
    uint64_t base = 0;
    if (ins->a != JIT_QUICK_ZERO)
        memcpy(&base, (const char *)state_register + as->machine->ir.slots[ins->a].offset, sizeof(base));
    return base + (uint64_t)ins->number;
}

bool jit_quick_recover(struct jit_assembler *as, struct ir *ir, const struct jit_quick_code *code,
                       const struct jit_thunks *thunks, struct jit_room room, unsigned first_site,
                       const struct jit_fault *fault, void *state_register, uint64_t *pc, uint64_t *address)
{
    uint8_t *scratch = jit_begin_scratch(as, thunks, room, first_site);
    if (!scratch)
        return false;
    begin(as, ir, code);
    const struct jit_quick_ins *ins = emit(as, code, fault->pc);
    free(scratch);
    if (!ins)
        return false;
    save_pins(as, fault, state_register);
    *pc = code->pc + (uint64_t)(int64_t)ins->place;
    *address =
        fault->address ? fault->address - as->machine->memory_base : address_of(as, ins, state_register);
    return true;
}
