#include "stream.h"
#include "isa/riscv/tables.h"
#include "layout.h"

#include <string.h>

enum { RM_DYNAMIC = 7 };

static void row_item(struct stream *s);

void stream_init(struct stream *stream, const struct stream_config *config, struct text *text)
{
    *stream = (struct stream){.config = config, .text = text, .locked = 1u << X_GP};
}

void stream_forget(struct stream *s)
{
    memset(s->pointer, 0, sizeof(s->pointer));
}

static bool is_locked(const struct stream *s, unsigned x)
{
    return s->locked >> x & 1;
}

/* A register that may be written, neither zero nor sp. */
static uint8_t free_register(struct stream *s)
{
    for (;;) {
        unsigned x = rng_below(&s->rng, 32);
        if (x != X_ZERO && x != X_SP && !is_locked(s, x))
            return (uint8_t)x;
    }
}

static bool is_pair(const struct rv_insn *insn)
{
    return insn->row == RV_AMOCAS_Q;
}

static bool may_write(const struct stream *s, const struct rv_insn *insn)
{
    if (!row_writes_x(insn->row))
        return true;
    return !is_locked(s, insn->rd) && !(is_pair(insn) && is_locked(s, insn->rd + 1u));
}

/* Some compressed rows have no choice where they write. */
static bool is_possible(const struct stream *s, unsigned row)
{
    return !(row == RV_C_JALR && is_locked(s, X_RA)) && !(row == RV_C_ADDI16SP && is_locked(s, X_SP));
}

/* Appends an instruction and keeps what is known of registers right. */
static void emit(struct stream *s, const struct rv_insn *insn)
{
    text_insn(s->text, insn);
    if (!row_writes_x(insn->row))
        return;
    s->pointer[insn->rd] = 0;
    if (is_pair(insn))
        s->pointer[insn->rd + 1] = 0;
}

#define EMIT(stream, name, ...) \
    emit(stream, &(struct rv_insn){.row = RV_##name, .op = RV_##name, __VA_ARGS__})

/* QEMU 10 drops a rounding to a whole number, and with it the flags, when nothing reads the result. */
static void keep_result(struct stream *s, const struct rv_insn *insn)
{
    switch (insn->row) {
    case RV_FROUND_S:
    case RV_FROUND_D:
    case RV_FROUNDNX_S:
    case RV_FROUNDNX_D: EMIT(s, FSD, .rs1 = X_GP, .rs2 = insn->rd, .imm = SLOT_SCRATCH);
    }
}

/* Appends the instruction that an item is about. */
static void emit_subject(struct stream *s, const struct rv_insn *insn)
{
    emit(s, insn);
    keep_result(s, insn);
    if (!s->skipped)
        s->executed[insn->row]++;
}

static void random_insn(struct stream *s, unsigned row, struct rv_insn *insn)
{
    do
        row_random(row, &s->rng, insn);
    while (!may_write(s, insn));
}

/* Sometimes operands are the same register, and immediates are 0, -1 or at their ends. */
static void entangle(struct stream *s, struct rv_insn *insn)
{
    struct rv_insn changed = *insn;
    switch (rng_below(&s->rng, 12)) {
    case 0: changed.rs2 = changed.rs1; break;
    case 1: changed.rd = changed.rs1; break;
    case 2: changed.rd = changed.rs2; break;
    case 3: changed.imm = 0; break;
    case 4: changed.imm = -1; break;
    case 5: changed.imm = rng_percent(&s->rng, 50) ? 2047 : -2048; break;
    case 6: changed.imm = (int)rng_below(&s->rng, 64); break;
    case 7: changed.rd = changed.rs1 = changed.rs2; break;
    case 8: changed.rm = RM_DYNAMIC; break;
    default: return;
    }
    if (may_write(s, &changed) && row_adjust(&changed))
        *insn = changed;
}

/* ---- Values for registers ---- */

static int32_t pool_offset(struct stream *s, enum value_kind kind)
{
    unsigned share = POOL_COUNT / VALUE_KINDS;
    if (rng_percent(&s->rng, 8))
        kind = (enum value_kind)rng_below(&s->rng, VALUE_KINDS);
    return POOL_OFFSET + 8 * (int32_t)(kind * share + rng_below(&s->rng, share));
}

static void refresh_x(struct stream *s, uint8_t x)
{
    if (x != X_ZERO && !is_locked(s, x))
        EMIT(s, LD, .rd = x, .rs1 = X_GP, .imm = pool_offset(s, VALUE_INT));
}

static void refresh_f(struct stream *s, uint8_t f, enum value_kind kind)
{
    EMIT(s, FLD, .rd = f, .rs1 = X_GP, .imm = pool_offset(s, kind));
}

/* Results of random arithmetic soon degenerate into 0, -1 and NaN: gives sources new values from the pool. */
static void refresh_sources(struct stream *s, const struct rv_insn *insn)
{
    const unsigned slots[] = {RV_SLOT_RS1, RV_SLOT_RS2, RV_SLOT_RS3};
    const uint8_t registers[] = {insn->rs1, insn->rs2, (uint8_t)insn->rs3};
    for (unsigned i = 0; i < 3; i++) {
        if (row_reads_f(insn->row, slots[i]) && rng_percent(&s->rng, 60))
            refresh_f(s, registers[i], row_source_kind(insn->row));
        if (row_reads_x(insn->row, slots[i]) && rng_percent(&s->rng, 25))
            refresh_x(s, registers[i]);
    }
}

static void set_pointer(struct stream *s, unsigned x, uint64_t address)
{
    text_address(s->text, x, address);
    s->pointer[x] = address;
}

/* ---- One row ---- */

static void plain_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    random_insn(s, row, &insn);
    entangle(s, &insn);
    refresh_sources(s, &insn);
    bool flags = (rv_op_flags(row) & RV_FP) && rng_percent(&s->rng, 30);
    if (flags)
        EMIT(s, CSRRWI, .imm = RV_CSR_FFLAGS);
    emit_subject(s, &insn);
    if (flags)
        EMIT(s, CSRRS, .rd = free_register(s), .imm = RV_CSR_FFLAGS);
}

static uint64_t area_address(struct stream *s, unsigned size, unsigned alignment)
{
    return AREA_BASE + (rng_below(&s->rng, AREA_SIZE - size + 1) & -alignment);
}

/* QEMU's translation of AMOCAS to x0 overwrites its constant 0 and derails all that follows. */
static bool upsets_oracle(const struct rv_insn *insn)
{
    return rv_op_ext(insn->row) == RV_EXT_ZACAS && insn->rd == X_ZERO;
}

/* Random operands with a base register that may be set. */
static void random_access(struct stream *s, unsigned row, struct rv_insn *insn)
{
    do
        random_insn(s, row, insn);
    while (insn->rs1 == X_ZERO || is_locked(s, insn->rs1) || upsets_oracle(insn));
}

/* Uses a register that already points somewhere, if one does that the encoding can take. */
static bool reuse_pointer(struct stream *s, struct rv_insn *insn, uint64_t address)
{
    unsigned first = rng_below(&s->rng, 32);
    for (unsigned i = 0; i < 32; i++) {
        unsigned x = (first + i) % 32;
        struct rv_insn changed = *insn;
        changed.rs1 = (uint8_t)x;
        changed.imm = (int32_t)(address - s->pointer[x]);
        if (s->pointer[x] && row_adjust(&changed)) {
            *insn = changed;
            return true;
        }
    }
    return false;
}

static void memory_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    random_access(s, row, &insn);
    unsigned alignment = rng_percent(&s->rng, 50) ? 8 : 1u << rng_below(&s->rng, 3);
    uint64_t address = area_address(s, 16, alignment);
    if (!rng_percent(&s->rng, 60) || !reuse_pointer(s, &insn, address))
        set_pointer(s, insn.rs1, address - (uint64_t)insn.imm);
    emit_subject(s, &insn);
}

static void cache_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    random_access(s, row, &insn);
    set_pointer(s, insn.rs1, area_address(s, 1, 1));
    emit_subject(s, &insn);
}

/* Loads what is in memory into what AMOCAS compares it with. */
static void load_expected(struct stream *s, const struct rv_insn *insn)
{
    unsigned count = is_pair(insn) ? 2 : 1;
    for (unsigned i = 0; i < count; i++) {
        uint8_t x = (uint8_t)(insn->rd + i);
        if (x == X_ZERO || x == insn->rs1 || is_locked(s, x))
            return;
    }
    for (unsigned i = 0; i < count; i++)
        EMIT(s, LD, .rd = (uint8_t)(insn->rd + i), .rs1 = insn->rs1, .imm = (int32_t)(8 * i));
}

static void atomic_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    unsigned size = row_access_size(row);
    random_access(s, row, &insn);
    if (rng_percent(&s->rng, 25) && insn.rs2 != insn.rs1)
        refresh_x(s, insn.rs2);
    set_pointer(s, insn.rs1, area_address(s, 16, size));
    if (rv_op_ext(row) == RV_EXT_ZACAS && rng_percent(&s->rng, 50))
        load_expected(s, &insn);
    emit_subject(s, &insn);
}

static unsigned random_row(struct stream *s)
{
    return s->config->rows[rng_below(&s->rng, s->config->row_count)];
}

/* Between LR and SC: nothing that touches memory, or may end a reservation. */
static void filler(struct stream *s)
{
    unsigned row = random_row(s);
    struct rv_insn insn;
    if (row_class(row) != ROW_PLAIN || rv_op_ext(row) == RV_EXT_ZAWRS || !is_possible(s, row))
        return;
    random_insn(s, row, &insn);
    emit_subject(s, &insn);
}

/* An LR and an SC of one width, and then perhaps something that makes a store fail: another address, a second SC. */
static void reserve_row(struct stream *s, unsigned row)
{
    bool wide = row_access_size(row) == 8;
    struct rv_insn load, store;
    do {
        random_access(s, wide ? RV_LR_D : RV_LR_W, &load);
        random_access(s, wide ? RV_SC_D : RV_SC_W, &store);
        store.rs1 = load.rs1;
    } while (load.rd == load.rs1 || !row_adjust(&store));
    uint32_t locked = s->locked;
    uint64_t address = area_address(s, 16, wide ? 8 : 4);
    set_pointer(s, load.rs1, address);
    s->locked |= 1u << load.rs1;
    emit_subject(s, &load);
    /* c.addi16sp can write nothing but sp: it must not be asked to spare it. */
    for (unsigned i = load.rs1 == X_SP ? 0 : rng_below(&s->rng, 3); i > 0; i--)
        filler(s);
    s->locked = locked;
    if (rng_percent(&s->rng, 15))
        set_pointer(s, load.rs1, AREA_BASE + (address - AREA_BASE + AREA_SIZE / 2) % AREA_SIZE);
    bool again = rng_percent(&s->rng, 20) && store.rd != store.rs1;
    emit_subject(s, &store);
    if (again)
        emit_subject(s, &store);
}

/* A random value may have put an invalid rounding mode into frm: that is for the items that look for traps. */
static void csr_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    random_insn(s, row, &insn);
    insn.imm = RV_CSR_FFLAGS + (int32_t)rng_below(&s->rng, 3);
    row_adjust(&insn);
    emit_subject(s, &insn);
    if (insn.imm != RV_CSR_FFLAGS)
        EMIT(s, CSRRWI, .rs1 = (uint8_t)rng_below(&s->rng, 5), .imm = RV_CSR_FRM);
}

/* A system call that no kernel has. */
static void ecall_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    if (is_locked(s, X_A7) || is_locked(s, X_A0))
        return;
    random_insn(s, row, &insn);
    EMIT(s, ADDI, .rd = X_A7, .rs1 = X_ZERO, .imm = -1);
    emit_subject(s, &insn);
    s->pointer[X_A0] = 0;
}

static void ebreak_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    random_insn(s, row, &insn);
    emit_subject(s, &insn);
}

/* ---- Control flow ---- */

static void inner_items(struct stream *s, unsigned count)
{
    s->depth++;
    for (unsigned i = 0; i < count; i++)
        row_item(s);
    s->depth--;
}

/* What control may go around. Knowledge of pointers holds afterwards only where both ways agree. */
static void skipped_items(struct stream *s, unsigned count)
{
    uint64_t before[32];
    memcpy(before, s->pointer, sizeof(before));
    s->skipped++;
    inner_items(s, count);
    s->skipped--;
    for (unsigned x = 0; x < 32; x++)
        if (s->pointer[x] != before[x])
            s->pointer[x] = 0;
}

/* What is never executed may be anything. */
static void dead_code(struct stream *s)
{
    if (rng_percent(&s->rng, 50)) {
        skipped_items(s, 1);
        return;
    }
    for (unsigned i = rng_below(&s->rng, 6); i > 0; i--)
        text_word(s->text, (uint32_t)rng_next(&s->rng));
}

static void branch_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    random_insn(s, row, &insn);
    if (rng_percent(&s->rng, 25)) {
        insn.rs2 = insn.rs1;
        row_adjust(&insn);
    }
    refresh_sources(s, &insn);
    uint64_t from = text_here(s->text);
    emit_subject(s, &insn);
    if (s->depth < 3)
        skipped_items(s, insn.length == 2 ? 1 : 1 + rng_below(&s->rng, 3));
    text_link(s->text, from, text_here(s->text));
}

static void jump_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    random_insn(s, row, &insn);
    uint64_t from = text_here(s->text);
    emit_subject(s, &insn);
    dead_code(s);
    text_link(s->text, from, text_here(s->text));
}

static void indirect_row(struct stream *s, unsigned row)
{
    struct rv_insn insn;
    random_access(s, row, &insn);
    uint64_t anchor = text_here(s->text);
    EMIT(s, AUIPC, .rd = insn.rs1);
    uint64_t from = text_here(s->text);
    if (insn.length == 2) /* has no offset: an ADDI makes the address */
        EMIT(s, ADDI, .rd = insn.rs1, .rs1 = insn.rs1);
    emit_subject(s, &insn);
    dead_code(s);
    unsigned odd = rng_percent(&s->rng, 25); /* the lowest bit of the target is ignored */
    text_link_register(s->text, from, anchor, text_here(s->text) + odd);
}

static void row_item(struct stream *s)
{
    static void (*const make[ROW_CLASSES])(struct stream *, unsigned) = {
        [ROW_PLAIN] = plain_row,       [ROW_MEMORY] = memory_row,   [ROW_CACHE] = cache_row,
        [ROW_ATOMIC] = atomic_row,     [ROW_BRANCH] = branch_row,   [ROW_JUMP] = jump_row,
        [ROW_INDIRECT] = indirect_row, [ROW_CSR] = csr_row,         [ROW_ECALL] = ecall_row,
        [ROW_EBREAK] = ebreak_row,     [ROW_RESERVE] = reserve_row,
    };
    unsigned row = random_row(s);
    if (is_possible(s, row))
        make[row_class(row)](s, row);
}

/* A counted loop whose counter nothing inside may write. */
static void loop(struct stream *s)
{
    uint8_t counter = free_register(s);
    EMIT(s, ADDI, .rd = counter, .rs1 = X_ZERO, .imm = 2 + (int32_t)rng_below(&s->rng, 5));
    uint64_t top = text_here(s->text);
    uint32_t locked = s->locked;
    stream_forget(s);
    s->locked |= 1u << counter;
    inner_items(s, 1 + rng_below(&s->rng, 6));
    s->locked = locked;
    EMIT(s, ADDI, .rd = counter, .rs1 = counter, .imm = -1);
    uint64_t from = text_here(s->text);
    switch (rng_below(&s->rng, 3)) {
    case 0: EMIT(s, BNE, .rs1 = counter); break;
    case 1: EMIT(s, BLT, .rs2 = counter); break;
    default: EMIT(s, BLTU, .rs2 = counter); break;
    }
    text_link(s->text, from, top);
}

/* A function and one or two calls of it. */
static void call(struct stream *s)
{
    uint8_t link = rng_percent(&s->rng, 75) ? X_RA : free_register(s);
    uint64_t around = text_here(s->text);
    EMIT(s, JAL, .imm = 0);
    uint64_t function = text_here(s->text);
    uint32_t locked = s->locked;
    stream_forget(s);
    s->locked |= 1u << link;
    inner_items(s, 1 + rng_below(&s->rng, 4));
    s->locked = locked;
    EMIT(s, JALR, .rs1 = link);
    text_link(s->text, around, text_here(s->text));
    stream_forget(s);
    for (unsigned calls = 1 + rng_below(&s->rng, 2); calls > 0; calls--) {
        uint64_t from = text_here(s->text);
        EMIT(s, JAL, .rd = link);
        text_link(s->text, from, function);
    }
}

/* There and back: a jump backward that is no loop. */
static void zigzag(struct stream *s)
{
    uint64_t there = text_here(s->text);
    EMIT(s, JAL, .imm = 0);
    uint64_t middle = text_here(s->text);
    inner_items(s, 1);
    uint64_t out = text_here(s->text);
    EMIT(s, JAL, .imm = 0);
    text_link(s->text, there, text_here(s->text));
    uint64_t back = text_here(s->text);
    EMIT(s, JAL, .imm = 0);
    text_link(s->text, back, middle);
    text_link(s->text, out, text_here(s->text));
}

/* a * b - a * b (rounded): what only a fused operation sees is all that is left. */
static void cancellation(struct stream *s)
{
    static const uint16_t multiply[] = {RV_FMUL_S, RV_FMUL_D};
    static const uint16_t fused[][4] = {{RV_FMADD_S, RV_FMSUB_S, RV_FNMADD_S, RV_FNMSUB_S},
                                        {RV_FMADD_D, RV_FMSUB_D, RV_FNMADD_D, RV_FNMSUB_D}};
    unsigned wide = rng_below(&s->rng, 2);
    struct rv_insn product, sum;
    random_insn(s, multiply[wide], &product);
    random_insn(s, fused[wide][rng_below(&s->rng, 4)], &sum);
    sum.rs1 = product.rs1;
    sum.rs2 = product.rs2;
    sum.rs3 = product.rd;
    row_adjust(&sum);
    refresh_sources(s, &product);
    emit(s, &product);
    emit(s, &sum);
}

/* ---- Traps ---- */

/* An access where nothing is mapped, a store into the text, an atomic that is not aligned. */
static void fault_item(struct stream *s)
{
    unsigned row = random_row(s);
    enum row_class class = row_class(row);
    struct rv_insn insn;
    if (class != ROW_MEMORY && class != ROW_ATOMIC && class != ROW_CACHE)
        return;
    random_access(s, row, &insn);
    unsigned place = rng_below(&s->rng, 3);
    uint64_t address = HOLE_BASE + 0x8000 + 64 * rng_below(&s->rng, 64);
    if (place == 1)
        address = 16 * rng_below(&s->rng, 64);
    if (place == 2 && (rv_op_flags(row) & RV_STORE))
        address = TEXT_BASE + 16 * rng_below(&s->rng, 64);
    if (class == ROW_ATOMIC && rng_percent(&s->rng, 50))
        address = area_address(s, 16, 4) + 1 + rng_below(&s->rng, 3);
    set_pointer(s, insn.rs1, address - (uint64_t)insn.imm);
    emit(s, &insn);
    stream_forget(s);
}

/* CSRs whose value legitimately differs: counters. */
static bool is_counter(int32_t csr)
{
    return csr >= 0xc00 && csr <= 0xc1f;
}

/* Loads, stores and moves of whole vector registers: QEMU executes them also where there are no vectors. */
static bool is_whole_vector(uint32_t word)
{
    bool load_or_store = (word & 0x5f) == 0x07 && (word >> 20 & 0xdf) == 8;
    return load_or_store || (word & 0xfe00707f) == 0x9e003057;
}

/* Is executing the word harmless, by what the decoder makes of it? */
static bool is_harmless(const struct stream *s, uint32_t word)
{
    struct rv_insn insn;
    if ((word & 0x7f) == 0x73 && ((word >> 12 & 3) == 0 || is_counter((int32_t)(word >> 20))))
        return false; /* privileged instructions, counters */
    if (!rv_decode(word, &insn))
        return !is_whole_vector(word);
    enum row_class class = row_class(insn.row);
    return (class == ROW_PLAIN || class == ROW_CSR) && s->config->chosen[insn.row] && may_write(s, &insn);
}

static uint32_t wild_word(struct stream *s)
{
    struct rv_insn insn;
    uint32_t random = (uint32_t)rng_next(&s->rng);
    switch (rng_below(&s->rng, 4)) {
    case 0: return random | 3;
    case 1: return random;
    default: break;
    }
    row_random(random_row(s), &s->rng, &insn); /* and one or two bits flipped, or a bad rounding mode */
    if (rng_percent(&s->rng, 30))
        return (insn.word & ~UINT32_C(0x7000)) | (5 + rng_below(&s->rng, 2)) << 12;
    return insn.word ^ 1u << (random & 31) ^ (random >> 31) << (random >> 5 & 31);
}

static void wild_item(struct stream *s)
{
    uint32_t word = wild_word(s);
    if (!is_harmless(s, word))
        return;
    text_word(s->text, word);
    stream_forget(s);
    if ((word & 0x7f) == 0x73)
        EMIT(s, CSRRWI, .rs1 = (uint8_t)rng_below(&s->rng, 5), .imm = RV_CSR_FRM);
}

/* A dynamic rounding mode that is none, and an instruction that would use it. */
static void bad_mode_item(struct stream *s)
{
    EMIT(s, CSRRWI, .rs1 = (uint8_t)(5 + rng_below(&s->rng, 3)), .imm = RV_CSR_FRM);
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = random_row(s);
        struct rv_insn insn;
        if (row_class(row) != ROW_PLAIN || !(rv_op_flags(row) & RV_FP))
            continue;
        random_insn(s, row, &insn);
        insn.rm = RM_DYNAMIC;
        row_adjust(&insn);
        emit(s, &insn);
    }
    EMIT(s, CSRRWI, .rs1 = (uint8_t)rng_below(&s->rng, 5), .imm = RV_CSR_FRM);
}

void stream_item(struct stream *s, uint64_t number)
{
    static void (*const structures[])(struct stream *) = {loop,   loop,         call,
                                                          zigzag, cancellation, cancellation};
    const struct stream_config *config = s->config;
    s->rng = rng_make(config->seed, number);
    unsigned roll = rng_below(&s->rng, 100);
    if (roll < config->illegal)
        rng_percent(&s->rng, 90) ? wild_item(s) : bad_mode_item(s);
    else if (roll < config->illegal + config->faults)
        fault_item(s);
    else if (config->structures && rng_percent(&s->rng, 7))
        structures[rng_below(&s->rng, sizeof(structures) / sizeof(structures[0]))](s);
    else
        row_item(s);
}
