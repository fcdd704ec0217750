/* How units are entered and left, and the code that they share for it. */
#include "host/sanitize.h"
#include "jit/target/x86_64/emit.h"

#include <string.h>

#define STATE(as, member) X86_STATE(x86_state_offset(as, offsetof(struct jit_state, member)))

/* ---- Sites ---- */

/* The cold code that leaves for good until the link is tied. */
static struct jit_site *new_site(struct jit_assembler *as, uint64_t pc)
{
    unsigned index = as->site_count;
    if (index == JIT_MAX_SITES) {
        as->left = 0;
        index = 0;
    } else {
        as->site_count++;
    }
    struct jit_site *site = &as->sites[index];
    site->pc = pc;
    site->stub = as->cold + as->cold_exec;
    x86_cold_link(as, as->first_site + index);
    return site;
}

/* In cold code a stub can't be written in the middle of what is being written: it comes first. */
static void jump_to(struct jit_assembler *as, uint64_t pc)
{
    struct jit_site *site = new_site(as, pc);
    site->field = x86_jmp_site(as, site->stub);
}

/* ---- Parts of exits, in cold code or in hot ---- */

static void emit_count(struct jit_assembler *as, const struct ir_exit *exit, const uint8_t *stub)
{
    size_t counter = offsetof(struct jit_state, counters) + jit_counter(exit->pc) * sizeof(int32_t);
    x86_jcc(as, X86_S, stub);
    x86_alu_imm_m(as, ALU_SUB, 0, X86_STATE(x86_state_offset(as, counter)), 1);
}

/* Everything is home: the way to the exit's pc, which has been gone often, is now at `pc`. */
static const uint8_t *count_stub(struct jit_assembler *as, const struct jit_steps *steps,
                                 const struct ir_exit *exit, uint64_t pc)
{
    const uint8_t *stub = x86_cold_begin(as);
    if (steps)
        jit_emit_steps(as, steps);
    int32_t arguments = x86_state_offset(as, offsetof(struct jit_state, arguments));
    as->target->store_constant(as, (int64_t)exit->pc, arguments);
    as->target->store_constant(as, (int64_t)as->ir->pc, arguments + (int32_t)sizeof(uint64_t));
    x86_mov_imm(as, RAX, (int64_t)pc);
    x86_mov_imm(as, RCX, JIT_STOP + exit->reason);
    x86_jmp(as, as->thunks->stop);
    x86_cold_end(as);
    return stub;
}

void x86_emit_count(struct jit_assembler *as)
{
    const struct ir *ir = as->ir;
    const struct ir_exit entry = {.kind = IR_EXIT_GO, .pc = ir->pc, .reason = ir->reason};
    emit_count(as, &entry, count_stub(as, NULL, &entry, ir->pc));
}

static void emit_poll_check(struct jit_assembler *as, const uint8_t *stub)
{
    x86_jcc(as, X86_NE, stub);
    x86_alu_imm_m(as, ALU_CMP, 0, X86_STATE(as->machine->pending), 0);
}

/* Everything is home once `steps` are done: goes on at `pc` when the engine has done what it was asked for. */
static const uint8_t *poll_stub(struct jit_assembler *as, const struct jit_steps *steps, uint64_t pc)
{
    const uint8_t *stub = x86_cold_begin(as);
    if (steps)
        jit_emit_steps(as, steps);
    x86_mov_imm(as, RAX, (int64_t)pc);
    x86_rm(as, X86_MOV_STORE | X86_W, RAX, STATE(as, value));
    x86_jmp(as, as->thunks->poll);
    x86_cold_end(as);
    return stub;
}

static void stop_forwards(struct jit_assembler *as, const struct ir_exit *exit)
{
    x86_mov_imm(as, RAX, (int64_t)exit->pc);
    x86_mov_imm(as, RCX, JIT_STOP + exit->reason);
    x86_jmp(as, as->thunks->stop);
}

const uint8_t *x86_stop_stub(struct jit_assembler *as, const struct ir_exit *exit)
{
    const uint8_t *stub = x86_cold_begin(as);
    stop_forwards(as, exit);
    x86_cold_end(as);
    return stub;
}

const uint8_t *x86_side_stub(struct jit_assembler *as, const struct jit_steps *steps,
                             const struct ir_exit *exit)
{
    bool near = exit->kind != IR_EXIT_STOP && !exit->far;
    struct jit_site *site = near ? new_site(as, exit->pc) : NULL;
    const uint8_t *stub = x86_cold_begin(as);
    jit_emit_steps(as, steps);
    if (near)
        site->field = x86_jmp_site(as, site->stub);
    else if (exit->far)
        x86_far_forwards(as, exit->pc);
    else
        stop_forwards(as, exit);
    x86_cold_end(as);
    return stub;
}

/* All slots, of a way that is rarely taken: jit_settle(). */
static const uint64_t rare = ~UINT64_C(0);

/* ---- Ways back in a loop ---- */

static bool leads_back(const struct jit_assembler *as, const struct ir_exit *exit)
{
    return as->ir->loop && exit->kind == IR_EXIT_GO && exit->pc == as->ir->pc;
}

/* The jump that was emitted last will lead to the LOOP. */
static void lead_back(struct jit_assembler *as)
{
    enum { FIELD = sizeof(int32_t) };
    if (as->back_count == JIT_MAX_BACK)
        as->left = 0;
    if (!as->left)
        return;
    uint8_t *field = as->in_cold ? as->cold - FIELD : as->hot + as->last_size - FIELD;
    as->back[as->back_count++] = (struct jit_back){field, as->in_cold ? as->cold_exec : as->hot_exec};
}

static const uint8_t *back_stub(struct jit_assembler *as, const struct jit_steps *steps)
{
    const uint8_t *stub = x86_cold_begin(as);
    jit_emit_steps(as, steps);
    x86_jmp(as, jit_here(as));
    lead_back(as);
    x86_cold_end(as);
    return stub;
}

void x86_emit_loop(struct jit_assembler *as)
{
    const uint8_t *head = jit_here(as);
    for (unsigned i = 0; i < as->back_count && as->left; i++)
        jit_patch(as->back[i].field, as->back[i].to_exec, head);
    as->back_count = 0;
}

/* The way to where the exit leads, from what it is to be in the engine or another unit, or in this one's loop. */
static void find_way(struct jit_assembler *as, const struct ir_exit *exit, struct jit_steps *steps)
{
    if (as->ir->loop && !leads_back(as, exit)) {
        jit_way_out(as, steps);
        return;
    }
    jit_claim_pins(as);
    jit_way_home(as, 0, 0, steps);
}

/* ---- POLL ---- */

/* Nothing is executed: it is a place to stop at, from where cold code leads out. Paged code looks whether it is to. */
static void emit_poll(struct jit_assembler *as, const struct ir_exit *exit)
{
    struct jit_steps steps;
    jit_settle(as, rare);
    jit_way_out(as, &steps);
    const uint8_t *out = poll_stub(as, &steps, exit->pc);
    if (x86_is_paged(as))
        emit_poll_check(as, out);
    else
        as->stop = (struct jit_stop){jit_here(as), out};
}

/* ---- BR ---- */

void x86_side_exit(struct jit_assembler *as, enum x86_condition condition, uint64_t pc)
{
    struct jit_site *site = new_site(as, pc);
    site->field = x86_jcc_site(as, condition, site->stub);
}

static void jump_if(struct jit_assembler *as, const struct x86_test *t, const uint8_t *stub)
{
    const uint8_t *over = jit_here(as);
    if (t->equal_ordered) {
        x86_jcc(as, X86_E, stub);
        x86_jcc(as, X86_P, over);
    } else if (t->unequal_or_unordered) {
        x86_jcc(as, X86_NE, stub);
        x86_jcc(as, X86_P, stub);
    } else {
        x86_jcc(as, t->condition, stub);
    }
}

static void emit_branch(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins,
                        const struct ir_exit *exit)
{
    struct jit_steps steps;
    bool back = leads_back(as, exit);
    bool often = back || (exit->kind == IR_EXIT_GO && exit->pc <= as->ir->pc); /* leads back */
    jit_settle(as, often ? 0 : rare);
    struct x86_test t = x86_test_prepare(as, ins->b, ref);
    find_way(as, exit, &steps);
    const uint8_t *count = exit->count ? count_stub(as, &steps, exit, ir_pc_of(as->ir, ref)) : NULL;
    const uint8_t *poll = exit->poll ? poll_stub(as, &steps, ir_pc_of(as->ir, ref)) : NULL;
    bool two = t.equal_ordered || t.unequal_or_unordered;
    if (back && steps.count == 0 && !two) {
        x86_jcc(as, t.condition, jit_here(as));
        lead_back(as);
    } else if (back) {
        jump_if(as, &t, back_stub(as, &steps));
    } else if (steps.count == 0 && exit->kind == IR_EXIT_GO && !exit->far && !two) {
        x86_side_exit(as, t.condition, exit->pc);
    } else {
        jump_if(as, &t, x86_side_stub(as, &steps, exit));
    }
    x86_test_emit(as, &t);
    jit_done(as);
    if (count)
        emit_count(as, exit, count);
    if (poll)
        emit_poll_check(as, poll);
}

/* ---- EXIT ---- */

/* Compares the slot with the address that is expected to be returned to. */
static void compare_return(struct jit_assembler *as, unsigned slot, uint64_t pc)
{
    unsigned reg = as->slot_pin[slot];
    struct x86_mem memory = X86_STATE(as->machine->ir.slots[slot].offset);
    if (x86_fits32((int64_t)pc)) {
        if (reg == JIT_NO_REG)
            x86_rmi(as, X86(0, 0, 0x81) | X86_W, ALU_CMP, memory, (int32_t)pc, 4);
        else
            x86_alu_imm(as, ALU_CMP, X86_W, reg, (int32_t)pc);
        return;
    }
    if (reg == JIT_NO_REG)
        x86_rm(as, X86_ALU(ALU_CMP) | X86_W, RAX, memory);
    else
        x86_rr(as, X86_ALU(ALU_CMP) | X86_W, RAX, reg);
    x86_mov_imm(as, RAX, (int64_t)pc);
}

void x86_load_check(struct jit_assembler *as, unsigned slot)
{
    unsigned reg = as->slot_pin[slot];
    if (reg == JIT_NO_REG)
        x86_rm(as, X86_MOV | X86_W, RAX, X86_STATE(as->machine->ir.slots[slot].offset));
    else
        x86_rr(as, X86_MOV | X86_W, RAX, reg);
}

static const uint8_t *missed_return(struct jit_assembler *as, const struct ir_exit *exit)
{
    const uint8_t *missed = x86_cold_begin(as);
    x86_load_check(as, exit->check);
    x86_jmp(as, as->thunks->missed_return);
    x86_cold_end(as);
    return missed;
}

/* Where the callee's return comes to: right if the guest returns to where it was called from. Returns its address. */
static const uint8_t *return_site(struct jit_assembler *as, const struct ir_exit *exit)
{
    if (x86_is_far(as, exit->return_pc))
        x86_emit_far(as, exit->return_pc);
    else
        jump_to(as, exit->return_pc);
    const uint8_t *missed = missed_return(as, exit);
    if (x86_is_paged(as)) {
        x86_compare_paged_return(as, exit, missed);
        return jit_here(as);
    }
    x86_jcc(as, X86_NE, missed);
    compare_return(as, exit->check, exit->return_pc);
    return jit_here(as);
}

static struct x86_mem jump_entry(const struct jit_assembler *as, size_t member)
{
    struct x86_mem m = STATE(as, jumps);
    m.index = RCX;
    m.scale = 3;
    m.disp += (int32_t)member;
    return m;
}

/* rcx: an eighth of the offset of rax's entry in the jump cache. */
static const uint32_t jump_mask = (JIT_JUMP_COUNT - 1) << 1;
_Static_assert(sizeof(struct jit_jump) == 16, "the jump cache is indexed with pc << 3");

/* Jumps or calls through the jump cache to the pc in rax; `miss` if it is not there. */
static void emit_lookup(struct jit_assembler *as, bool call, const uint8_t *miss)
{
    if (x86_is_paged(as)) {
        x86_emit_far_lookup(as, call, miss);
        return;
    }
    x86_rm(as, X86(0, 0, 0xff), call ? 2 : 4, jump_entry(as, offsetof(struct jit_jump, entry)));
    x86_jcc(as, X86_NE, miss);
    x86_rm(as, X86_ALU(ALU_CMP) | X86_W, RAX, jump_entry(as, offsetof(struct jit_jump, pc)));
    x86_rri(as, X86(0, 0, 0x81), ALU_AND, RCX, (int32_t)jump_mask, 4);
    x86_rr(as, X86_MOV, RCX, RAX);
}

/* What an address to be called that is not in the jump cache leads to. */
static const uint8_t *missed_call(struct jit_assembler *as, const uint8_t *back)
{
    const uint8_t *miss = x86_cold_begin(as);
    x86_call(as, as->thunks->lookup);
    x86_jmp(as, back);
    x86_cold_end(as);
    return miss;
}

static void emit_indirect(struct jit_assembler *as, const struct ir_exit *exit)
{
    bool call = exit->kind == IR_EXIT_INDIRECT_CALL && !as->modes.no_returns;
    if (as->modes.no_chain) {
        x86_jmp(as, as->thunks->lookup);
        return;
    }
    const uint8_t *miss = as->thunks->lookup;
    if (call) {
        const uint8_t *back = return_site(as, exit);
        miss = missed_call(as, back);
    }
    emit_lookup(as, call, miss);
    if (call && x86_is_paged(as))
        x86_push_bias(as);
}

static void emit_call_exit(struct jit_assembler *as, const struct ir_exit *exit)
{
    const uint8_t *back = return_site(as, exit);
    if (exit->far) {
        emit_lookup(as, true, missed_call(as, back));
        x86_far_address(as, exit->pc);
    } else {
        struct jit_site *site = new_site(as, exit->pc);
        site->field = x86_call_site(as, site->stub);
    }
    if (x86_is_paged(as))
        x86_push_bias(as);
}

static bool uses_returns(const struct jit_assembler *as)
{
    return !as->modes.no_returns && !as->modes.no_chain;
}

bool x86_exit_computes(const struct jit_assembler *as, const struct ir_exit *exit)
{
    return exit->kind == IR_EXIT_INDIRECT || exit->kind == IR_EXIT_INDIRECT_CALL ||
           (exit->kind == IR_EXIT_RETURN && !uses_returns(as));
}

void x86_emit_way_out(struct jit_assembler *as, const struct ir_exit *exit)
{
    if (exit->kind == IR_EXIT_STOP) {
        x86_jmp(as, as->thunks->stop);
        x86_mov_imm(as, RCX, JIT_STOP + exit->reason);
        x86_mov_imm(as, RAX, (int64_t)exit->pc);
        return;
    }
    if (x86_exit_computes(as, exit)) {
        emit_indirect(as, exit);
        return;
    }
    if (exit->kind == IR_EXIT_RETURN) {
        x86_bytes(as, "\xc3", 1);
        return;
    }
    if (exit->kind == IR_EXIT_CALL && uses_returns(as))
        emit_call_exit(as, exit);
    else if (exit->far)
        x86_emit_far(as, exit->pc);
    else
        jump_to(as, exit->pc);
    if (exit->count)
        emit_count(as, exit, count_stub(as, NULL, exit, exit->pc));
    if (exit->poll)
        emit_poll_check(as, poll_stub(as, NULL, exit->pc));
}

static void emit_end(struct jit_assembler *as, const struct ir_ins *ins, const struct ir_exit *exit)
{
    struct jit_steps steps;
    bool computes = x86_exit_computes(as, exit);
    jit_settle(as, 0);
    if (computes && !ir_is_constant(ins->b))
        jit_place(as, ins->b);
    jit_claim_pins(as);
    jit_way_home(as, computes ? ins->b : 0, RAX, &steps);
    x86_emit_way_out(as, exit);
    jit_emit_steps(as, &steps);
    as->busy = 0;
}

/* The pinned slots whose values at the unit's end are not those at the way back before it. */
static uint64_t set_behind_way_back(const struct jit_assembler *as)
{
    const struct ir *ir = as->ir;
    unsigned branch = ir->count;
    while (branch-- && ir->ins[branch].op != IR_BR)
        continue;
    uint64_t behind = 0;
    for (unsigned slot = 0; slot < ir->machine->pin_count; slot++)
        if (ir->slot[slot] > IR_BASE + branch)
            behind |= UINT64_C(1) << slot;
    return behind;
}

/* The loop goes round here, or is over: as rare as other ways out of it. */
static void emit_loop_end(struct jit_assembler *as, const struct ir_exit *exit)
{
    struct jit_steps steps;
    bool back = leads_back(as, exit);
    jit_settle(as, back ? 0 : set_behind_way_back(as));
    find_way(as, exit, &steps);
    x86_jmp(as, back ? jit_here(as) : x86_side_stub(as, &steps, exit));
    if (back) {
        lead_back(as);
        jit_emit_steps(as, &steps);
    }
    as->busy = 0;
}

void x86_emit_exit(struct jit_assembler *as, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    const struct ir_exit *exit = &as->ir->exits[ins->a];
    if (ins->op == IR_POLL)
        emit_poll(as, exit);
    else if (ins->op == IR_EXIT || (ir_is_constant(ins->b) && ir_constant_value(as->ir, ins->b)))
        as->ir->loop ? emit_loop_end(as, exit) : emit_end(as, ins, exit);
    else if (!ir_is_constant(ins->b))
        emit_branch(as, ref, ins, exit);
}

/* ---- The entry ---- */

/* hlt: of one byte, so that nobody is ever inside it, and not for programs, so that it faults; no other instruction here
 * begins with it. */
enum { GRAVE = 0xf4 };

void jit_bury(uint8_t *place)
{
    __atomic_store_n(place, GRAVE, __ATOMIC_RELEASE);
}

HOST_NO_TSAN bool jit_is_buried(const uint8_t *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE) == GRAVE;
}

void jit_patch(uint8_t *field, ptrdiff_t to_exec, const uint8_t *target)
{
    int32_t displacement = (int32_t)(target - (field + to_exec + sizeof(displacement)));
    __atomic_store_n((int32_t *)(void *)field, displacement, __ATOMIC_RELEASE);
}

/* ---- Calls of the front end's functions ---- */

static void store_argument(struct jit_assembler *as, ir_ref value, unsigned number)
{
    int32_t offset = x86_state_offset(as, offsetof(struct jit_state, arguments) + number * sizeof(uint64_t));
    if (ir_is_constant(value)) {
        as->target->store_constant(as, ir_constant_value(as->ir, value), offset);
        return;
    }
    bool fp = jit_is_fp(as, value);
    unsigned reg = jit_use(as, value, fp ? JIT_FPS : JIT_INTEGERS & ~JIT_REG(RAX) & ~JIT_REG(RCX));
    as->target->store(as, reg, offset);
    jit_share(as, reg); /* the next may have it: one after the other is stored */
}

void x86_emit_call(struct jit_assembler *as, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    bool fp = ins->op == IR_CALLF;
    if (fp) {
        jit_def(as, ref, JIT_REG(XMM0));
        jit_clobber(as, JIT_REG(RAX));
    } else {
        jit_def(as, ref, JIT_REG(RAX));
    }
    jit_clobber(as, JIT_REG(RCX));
    x86_call(as, fp ? as->thunks->call_fp : as->thunks->call);
    x86_mov_imm(as, RCX, ins->a);
    ir_ref rest = ins->b;
    for (unsigned i = 0; i < JIT_CALL_VALUES && rest; i++) {
        const struct ir_ins *pair = ir_is_constant(rest) ? NULL : ir_at(as->ir, rest);
        bool last = !pair || pair->op != IR_PAIR;
        store_argument(as, last ? rest : pair->a, i);
        rest = last ? 0 : pair->b;
    }
    jit_done(as);
}

/* ---- Thunks: written forwards ---- */

static const uint8_t saved_by_callee[] = {RBX, RBP, R12, R13, R14, R15};

static void push_or_pop(struct jit_assembler *as, unsigned opcode, unsigned reg)
{
    const char bytes[] = {0x41, (char)(opcode | (reg & 7))};
    x86_bytes(as, reg >= R8 ? bytes : bytes + 1, reg >= R8 ? 2 : 1);
}

/* For a request to stop that came before the host's handler could see translated code interrupted. Paged code will look. */
static void trap_if_pending(struct jit_assembler *as)
{
    if (x86_is_paged(as))
        return;
    x86_rmi(as, X86(0, 0, 0x83), ALU_CMP, X86_STATE(as->machine->pending), 0, 1);
    uint8_t *over = x86_skip(as, X86_E);
    x86_bytes(as, "\xcc", 1);
    x86_skip_to(as, over);
}

static void make_enter(struct jit_assembler *as, struct jit_thunks *thunks)
{
    const struct ir_machine *m = &as->machine->ir;
    const uint8_t *at = jit_here(as);
    memcpy(&thunks->enter, &at, sizeof(at));
    for (unsigned i = 0; i < sizeof(saved_by_callee); i++)
        push_or_pop(as, 0x50, saved_by_callee[i]);
    x86_alu_imm(as, ALU_SUB, X86_W, RSP, 8); /* functions want it aligned */
    x86_rr(as, X86_MOV | X86_W, RBP, RDI);
    x86_rr(as, X86_MOV | X86_W, RAX, RSI);
    x86_rm(as, X86_MOV_STORE | X86_W, RSP, STATE(as, host_stack));
    x86_rm(as, X86_MOV | X86_W, RSP, STATE(as, return_sp));
    for (unsigned slot = 0; slot < m->pin_count; slot++)
        as->target->load(as, as->slot_pin[slot], m->slots[slot].offset);
    trap_if_pending(as);
    x86_rr(as, X86(0, 0, 0xff), 4, RAX);
}

/* Forms of the way out: with the value in the state already; with nothing to bring home either. */
static const uint8_t *make_leave(struct jit_assembler *as, const uint8_t **valued, const uint8_t **bare)
{
    const struct ir_machine *m = &as->machine->ir;
    const uint8_t *leave = jit_here(as);
    x86_rm(as, X86_MOV_STORE | X86_W, RAX, STATE(as, value));
    *valued = jit_here(as);
    for (unsigned slot = 0; slot < m->pin_count; slot++)
        as->target->store(as, as->slot_pin[slot], m->slots[slot].offset);
    *bare = jit_here(as);
    x86_rm(as, X86_MOV_STORE | X86_W, RSP, STATE(as, return_sp));
    x86_rm(as, X86_MOV | X86_W, RSP, STATE(as, host_stack));
    x86_alu_imm(as, ALU_ADD, X86_W, RSP, 8);
    for (unsigned i = sizeof(saved_by_callee); i--;)
        push_or_pop(as, 0x58, saved_by_callee[i]);
    x86_rr(as, X86_MOV, RAX, RCX);
    x86_bytes(as, "\xc3", 1);
    return leave;
}

static const uint8_t *make_reason(struct jit_assembler *as, enum jit_reason reason, const uint8_t *leave)
{
    const uint8_t *at = jit_here(as);
    x86_mov_imm(as, RCX, reason);
    x86_jmp(as, leave);
    return at;
}

/* emit_lookup() the other way round. */
static void make_indirect(struct jit_assembler *as, struct jit_thunks *thunks)
{
    thunks->underflow = jit_here(as);
    x86_load_check(as, as->machine->return_slot);
    thunks->missed_return = jit_here(as);
    x86_rm(as, X86_MOV | X86_W, RSP, STATE(as, return_base));
    if (x86_is_paged(as)) {
        thunks->indirect = x86_make_far_lookup(as, thunks->lookup);
        return;
    }
    x86_rr(as, X86_MOV, RCX, RAX);
    x86_rri(as, X86(0, 0, 0x81), ALU_AND, RCX, (int32_t)jump_mask, 4);
    x86_rm(as, X86_ALU(ALU_CMP) | X86_W, RAX, jump_entry(as, offsetof(struct jit_jump, pc)));
    x86_jcc(as, X86_NE, thunks->lookup);
    x86_rm(as, X86(0, 0, 0xff), 4, jump_entry(as, offsetof(struct jit_jump, entry)));
}

static void save_registers(struct jit_assembler *as, bool save)
{
    const uint32_t volatiles = JIT_FPS | JIT_REG(RDX) | JIT_REG(RSI) | JIT_REG(RDI) | JIT_REG(R8) |
                               JIT_REG(R9) | JIT_REG(R10) | JIT_REG(R11);
    for (uint32_t set = volatiles; set; set &= set - 1) {
        unsigned reg = (unsigned)__builtin_ctz(set);
        int32_t offset = x86_state_offset(as, offsetof(struct jit_state, saved) + reg * sizeof(uint64_t));
        (save ? as->target->store : as->target->load)(as, reg, offset);
    }
}

static const uint8_t *make_call(struct jit_assembler *as, bool fp)
{
    static const uint8_t parameters[JIT_CALL_VALUES] = {RDI, RSI, RDX};
    const uint8_t *at = jit_here(as);
    save_registers(as, true);
    x86_rm(as, X86_MOV_STORE | X86_W, RSP, STATE(as, return_sp));
    x86_rm(as, X86_MOV | X86_W, RSP, STATE(as, host_stack));
    for (unsigned i = 0; i < JIT_CALL_VALUES; i++)
        x86_rm(as, X86_MOV | X86_W, parameters[i],
               X86_STATE(x86_state_offset(as, offsetof(struct jit_state, arguments) + 8 * i)));
    x86_mov_imm(as, RAX, (int64_t)as->machine->calls);
    x86_rm(as, X86(0, 0, 0xff), 2, (struct x86_mem){.base = RAX, .index = RCX, .scale = 3});
    x86_rm(as, X86_MOV | X86_W, RSP, STATE(as, return_sp));
    save_registers(as, false);
    if (fp)
        x86_rr(as, X86(0x66, 1, 0x6e) | X86_W, XMM0, RAX);
    trap_if_pending(as);
    x86_bytes(as, "\xc3", 1);
    return at;
}

/* Every register that may hold a value. */
static void save_all(struct jit_assembler *as, bool save)
{
    for (uint32_t set = as->target->registers; set; set &= set - 1) {
        unsigned reg = (unsigned)__builtin_ctz(set);
        int32_t offset = x86_state_offset(as, offsetof(struct jit_state, saved) + reg * sizeof(uint64_t));
        (save ? as->target->store : as->target->load)(as, reg, offset);
    }
}

static const uint8_t *make_access(struct jit_assembler *as, const uint8_t *fault)
{
    const uint8_t *at = jit_here(as);
    const struct x86_mem top = {.base = RSP, .index = -1};
    save_all(as, true);
    x86_rr(as, X86_MOV | X86_W, RDI, RBP);
    x86_rm(as, X86_MOV | X86_W, RSI, top); /* where it returns to: in the unit */
    x86_rm(as, X86_MOV_STORE | X86_W, RSP, STATE(as, return_sp));
    x86_rm(as, X86_MOV | X86_W, RSP, STATE(as, host_stack));
    x86_mov_imm(as, RAX, (int64_t)as->machine->helper);
    x86_rr(as, X86(0, 0, 0xff), 2, RAX);
    x86_rm(as, X86_MOV | X86_W, RSP, STATE(as, return_sp));
    x86_rr(as, X86(0, 0, 0x84) | X86_B, RAX, RAX); /* test al, al */
    uint8_t *done = x86_skip(as, X86_NE);
    x86_alu_imm(as, ALU_ADD, X86_W, RSP, 8);
    x86_jmp(as, fault);
    x86_skip_to(as, done);
    save_all(as, false);
    trap_if_pending(as);
    x86_bytes(as, "\xc3", 1);
    return at;
}

static const void *make_constants(struct jit_assembler *as)
{
    static const uint64_t constants[X86_CONSTANTS] = {
        [X86_SIGN64] = UINT64_C(1) << 63,           [X86_REST64] = ~(UINT64_C(1) << 63),
        [X86_SIGN32] = UINT64_C(1) << 31,           [X86_REST32] = ~(UINT64_C(1) << 31),
        [X86_BOX] = UINT64_C(0xffffffff) << 32,     [X86_NAN64] = UINT64_C(0x7ff8000000000000),
        [X86_NAN32] = UINT64_C(0xffffffff7fc00000), [X86_MINUS64] = UINT64_C(0xbff0000000000000),
        [X86_MINUS32] = UINT64_C(0xbf800000),
    };
    while ((uintptr_t)jit_here(as) % 16)
        x86_nop(as, 1);
    const void *at = jit_here(as);
    for (unsigned i = 0; i < X86_CONSTANTS; i++) {
        const uint64_t wide[2] = {constants[i], 0};
        jit_put_bytes(as, wide, sizeof(wide));
    }
    uint8_t tables[64 + 32] = {0};
    for (unsigned host = 0; host < 64;
         host++) { /* PE UE OE ZE DE IE from bit 5 down; DE is none of the guest's */
        unsigned flags =
            (host >> 5 & 1) | (host >> 3 & 2) | (host >> 1 & 4) | (host << 1 & 8) | (host << 4 & 16);
        tables[host] = (uint8_t)flags;
        tables[64 + flags] = (uint8_t)(host & ~2u);
    }
    jit_put_bytes(as, tables, sizeof(tables));
    return at;
}

void x86_make_thunks(struct jit_assembler *as, struct jit_thunks *thunks)
{
    const uint8_t *valued, *bare;
    make_enter(as, thunks);
    const uint8_t *leave = make_leave(as, &valued, &bare);
    thunks->link = make_reason(as, JIT_LINK, leave);
    thunks->lookup = make_reason(as, JIT_LOOKUP, leave);
    thunks->poll = make_reason(as, JIT_POLL, valued);
    thunks->buried = make_reason(as, JIT_LOOKUP, valued);
    thunks->fault = make_reason(as, JIT_FAULT, bare);
    thunks->stop = leave;
    make_indirect(as, thunks);
    thunks->call = make_call(as, false);
    thunks->call_fp = make_call(as, true);
    thunks->access = as->machine->page_bits ? make_access(as, thunks->fault) : NULL;
    thunks->constants = make_constants(as);
}
