#include "program.h"
#include "layout.h"
#include "values.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

enum {
    SYS_WRITE = 64,
    SYS_EXIT_GROUP = 94,
    SYS_SIGALTSTACK = 132,
    SYS_RT_SIGACTION = 134,

    INFO_CODE = 8, /* in siginfo_t */
    INFO_ADDRESS = 16,
    CONTEXT_PC = 176, /* in ucontext_t of riscv64 Linux */
    ON_STACK_SIGINFO = 0x08000004,

};

static const uint8_t trap_signals[] = {4, 5, 7, 11}; /* SIGILL, SIGTRAP, SIGBUS, SIGSEGV */

/* Registers that the checkpoint routine works with, and those of its system call. */
static const uint8_t worker[] = {X_RA, X_T0, X_T1, X_T2, X_T3, X_T4, X_T5, X_A0, X_A1, X_A2, X_A7};

static int32_t scratch_slot(unsigned x)
{
    return SLOT_SCRATCH + 8 * (int32_t)x;
}

static bool is_worker(unsigned x)
{
    return memchr(worker, (int)x, sizeof(worker)) != NULL;
}

static void put_data(struct program *program, int32_t gp_offset, uint64_t value)
{
    memcpy(program->data + (GP_VALUE - DATA_BASE) + gp_offset, &value, sizeof(value));
}

/* ---- Routines ---- */

static void system_call(struct text *text, int32_t number)
{
    TEXT(text, ADDI, .rd = X_A7, .imm = number);
    TEXT(text, ECALL, .rd = 0);
}

static void exit_program(struct text *text, int32_t status)
{
    TEXT(text, ADDI, .rd = X_A0, .imm = status);
    system_call(text, SYS_EXIT_GROUP);
}

/* Writes a2 bytes at a1 to standard output; uses a0, a7. */
static void write_all(struct text *text)
{
    uint64_t again = text_here(text);
    TEXT(text, ADDI, .rd = X_A0, .imm = 1);
    system_call(text, SYS_WRITE);
    uint64_t good = text_here(text);
    TEXT(text, BLT, .rs2 = X_A0);
    exit_program(text, EXIT_WRITE);
    text_link(text, good, text_here(text));
    TEXT(text, ADD, .rd = X_A1, .rs1 = X_A1, .rs2 = X_A0);
    TEXT(text, SUB, .rd = X_A2, .rs1 = X_A2, .rs2 = X_A0);
    uint64_t more = text_here(text);
    TEXT(text, BNE, .rs1 = X_A2);
    text_link(text, more, again);
}

/* t2 = hash of the area; uses t1, t3, t4, t5. */
static void hash_area(struct text *text)
{
    text_address(text, X_T1, AREA_BASE);
    text_address(text, X_T5, AREA_BASE + AREA_SIZE);
    TEXT(text, LD, .rd = X_T4, .rs1 = X_GP, .imm = SLOT_FACTOR);
    TEXT(text, ADDI, .rd = X_T2);
    uint64_t top = text_here(text);
    TEXT(text, LD, .rd = X_T3, .rs1 = X_T1);
    TEXT(text, XOR, .rd = X_T2, .rs1 = X_T2, .rs2 = X_T3);
    TEXT(text, MUL, .rd = X_T2, .rs1 = X_T2, .rs2 = X_T4);
    TEXT(text, ADDI, .rd = X_T1, .rs1 = X_T1, .imm = 8);
    uint64_t from = text_here(text);
    TEXT(text, BNE, .rs1 = X_T1, .rs2 = X_T5);
    text_link(text, from, top);
}

/* Appends a record of all state. The caller has put its ra into the scratch slot and loads it back. */
static uint64_t checkpoint_routine(struct text *text, bool sync)
{
    uint64_t entry = text_here(text);
    for (unsigned i = 1; i < sizeof(worker); i++)
        TEXT(text, SD, .rs1 = X_GP, .rs2 = worker[i], .imm = scratch_slot(worker[i]));
    TEXT(text, LD, .rd = X_T0, .rs1 = X_GP, .imm = SLOT_CURSOR);
    for (unsigned x = 1; x < 32; x++) {
        unsigned from = is_worker(x) ? X_T1 : x;
        if (is_worker(x))
            TEXT(text, LD, .rd = X_T1, .rs1 = X_GP, .imm = scratch_slot(x));
        TEXT(text, SD, .rs1 = X_T0, .rs2 = (uint8_t)from, .imm = 8 * ((int32_t)x - 1));
    }
    for (unsigned f = 0; f < 32; f++)
        TEXT(text, FSD, .rs1 = X_T0, .rs2 = (uint8_t)f, .imm = 8 * (31 + (int32_t)f));
    TEXT(text, CSRRS, .rd = X_T1, .imm = RV_CSR_FCSR);
    TEXT(text, SD, .rs1 = X_T0, .rs2 = X_T1, .imm = RECORD_FCSR);
    hash_area(text);
    TEXT(text, SD, .rs1 = X_T0, .rs2 = X_T2, .imm = RECORD_HASH);
    TEXT(text, ADDI, .rd = X_T1, .rs1 = X_T0, .imm = RECORD_SIZE);
    TEXT(text, SD, .rs1 = X_GP, .rs2 = X_T1, .imm = SLOT_CURSOR);
    if (sync) {
        TEXT(text, ADDI, .rd = X_A1, .rs1 = X_T0);
        TEXT(text, ADDI, .rd = X_A2, .imm = RECORD_SIZE);
        write_all(text);
    }
    for (unsigned i = 1; i < sizeof(worker); i++)
        TEXT(text, LD, .rd = worker[i], .rs1 = X_GP, .imm = scratch_slot(worker[i]));
    TEXT(text, JALR, .rs1 = X_RA);
    return entry;
}

/* Writes everything and ends with the status in a5. In a synchronous program the records are out already. */
static uint64_t finish_routine(struct text *text, bool sync)
{
    uint64_t entry = text_here(text);
    text_address(text, X_GP, GP_VALUE);
    if (!sync) {
        text_address(text, X_T0, RECORD_BASE);
        TEXT(text, LD, .rd = X_T1, .rs1 = X_GP, .imm = SLOT_CURSOR);
        TEXT(text, SUB, .rd = X_T1, .rs1 = X_T1, .rs2 = X_T0);
        TEXT(text, SD, .rs1 = X_GP, .rs2 = X_T1, .imm = SLOT_HEADER + 16);
        TEXT(text, ADDI, .rd = X_A1, .rs1 = X_GP, .imm = SLOT_HEADER);
        TEXT(text, ADDI, .rd = X_A2, .imm = 32);
        write_all(text);

        text_address(text, X_A1, EVENTS_BASE);
        TEXT(text, LD, .rd = X_A2, .rs1 = X_GP, .imm = SLOT_EVENTS);
        text_address(text, X_T0, EVENTS_KEPT);
        TEXT(text, MINU, .rd = X_A2, .rs1 = X_A2, .rs2 = X_T0);
        TEXT(text, SLLI, .rd = X_A2, .rs1 = X_A2, .imm = 5);
        uint64_t none = text_here(text);
        TEXT(text, BEQ, .rs1 = X_A2);
        write_all(text);
        text_link(text, none, text_here(text));

        text_address(text, X_A1, RECORD_BASE);
        TEXT(text, LD, .rd = X_A2, .rs1 = X_GP, .imm = SLOT_HEADER + 16);
        none = text_here(text);
        TEXT(text, BEQ, .rs1 = X_A2);
        write_all(text);
        text_link(text, none, text_here(text));

        text_address(text, X_A1, AREA_BASE);
        text_address(text, X_A2, AREA_SIZE);
        write_all(text);
    }
    TEXT(text, ADDI, .rd = X_A0, .rs1 = X_A5);
    system_call(text, SYS_EXIT_GROUP);
    return entry;
}

/* Notes the trap and skips the instruction, if it is one of this program. The text's end is known only later: its two
 * instructions are found at `limit`. */
static uint64_t trap_handler(struct text *text, uint64_t finish, uint64_t *limit)
{
    uint64_t entry = text_here(text);
    text_address(text, X_GP, GP_VALUE);
    TEXT(text, LD, .rd = X_T0, .rs1 = X_GP, .imm = SLOT_EVENTS);
    TEXT(text, LD, .rd = X_T4, .rs1 = X_A2, .imm = CONTEXT_PC);
    text_address(text, X_T1, EVENTS_KEPT);
    uint64_t full = text_here(text);
    TEXT(text, BGEU, .rs1 = X_T0, .rs2 = X_T1);
    text_address(text, X_T2, EVENTS_BASE);
    TEXT(text, SLLI, .rd = X_T1, .rs1 = X_T0, .imm = 5);
    TEXT(text, ADD, .rd = X_T2, .rs1 = X_T2, .rs2 = X_T1);
    TEXT(text, SW, .rs1 = X_T2, .rs2 = X_A0);
    TEXT(text, LW, .rd = X_T1, .rs1 = X_A1, .imm = INFO_CODE);
    TEXT(text, SW, .rs1 = X_T2, .rs2 = X_T1, .imm = 4);
    TEXT(text, SD, .rs1 = X_T2, .rs2 = X_T4, .imm = 8);
    TEXT(text, LD, .rd = X_T1, .rs1 = X_A1, .imm = INFO_ADDRESS);
    TEXT(text, SD, .rs1 = X_T2, .rs2 = X_T1, .imm = 16);
    text_link(text, full, text_here(text));
    TEXT(text, ADDI, .rd = X_T0, .rs1 = X_T0, .imm = 1);
    TEXT(text, SD, .rs1 = X_GP, .rs2 = X_T0, .imm = SLOT_EVENTS);

    text_address(text, X_T0, TEXT_BASE);
    *limit = text_here(text);
    text_address(text, X_T1, TEXT_BASE);
    uint64_t below = text_here(text);
    TEXT(text, BLTU, .rs1 = X_T4, .rs2 = X_T0);
    uint64_t above = text_here(text);
    TEXT(text, BGEU, .rs1 = X_T4, .rs2 = X_T1);
    TEXT(text, LHU, .rd = X_T1, .rs1 = X_T4);
    TEXT(text, ANDI, .rd = X_T1, .rs1 = X_T1, .imm = 3);
    TEXT(text, SLTIU, .rd = X_T1, .rs1 = X_T1, .imm = 3);
    TEXT(text, SLLI, .rd = X_T1, .rs1 = X_T1, .imm = 1);
    TEXT(text, ADDI, .rd = X_T4, .rs1 = X_T4, .imm = 4);
    TEXT(text, SUB, .rd = X_T4, .rs1 = X_T4, .rs2 = X_T1);
    TEXT(text, SD, .rs1 = X_A2, .rs2 = X_T4, .imm = CONTEXT_PC);
    TEXT(text, JALR, .rs1 = X_RA);

    text_link(text, below, text_here(text));
    text_link(text, above, text_here(text));
    TEXT(text, ADDI, .rd = X_A5, .imm = EXIT_WILD);
    text_far(text, X_T0, false, finish);
    return entry;
}

/* ---- The main line ---- */

static void install_handler(struct text *text)
{
    TEXT(text, ADDI, .rd = X_A0, .rs1 = X_GP, .imm = SLOT_STACK);
    TEXT(text, ADDI, .rd = X_A1);
    system_call(text, SYS_SIGALTSTACK);
    for (unsigned i = 0; i < sizeof(trap_signals); i++) {
        TEXT(text, ADDI, .rd = X_A0, .imm = trap_signals[i]);
        TEXT(text, ADDI, .rd = X_A1, .rs1 = X_GP, .imm = SLOT_ACTION);
        TEXT(text, ADDI, .rd = X_A2);
        TEXT(text, ADDI, .rd = X_A2 + 1, .imm = 8); /* a3: size of the signal set */
        system_call(text, SYS_RT_SIGACTION);
    }
}

static void load_registers(struct text *text, struct rng *rng)
{
    TEXT(text, CSRRWI, .rs1 = (uint8_t)rng_below(rng, 5), .imm = RV_CSR_FRM);
    for (unsigned f = 0; f < 32; f++)
        TEXT(text, FLD, .rd = (uint8_t)f, .rs1 = X_GP,
             .imm = POOL_OFFSET + 8 * (int32_t)rng_below(rng, POOL_COUNT));
    for (unsigned x = 1; x < 32; x++)
        if (x != X_GP)
            TEXT(text, LD, .rd = (uint8_t)x, .rs1 = X_GP,
                 .imm = POOL_OFFSET + 8 * (int32_t)rng_below(rng, POOL_COUNT));
}

static void take_checkpoint(struct text *text, uint64_t routine)
{
    TEXT(text, SD, .rs1 = X_GP, .rs2 = X_RA, .imm = scratch_slot(X_RA));
    text_far(text, X_RA, true, routine);
    TEXT(text, LD, .rd = X_RA, .rs1 = X_GP, .imm = scratch_slot(X_RA));
}

static void build_stream(struct program *program, const struct program_config *config, uint64_t checkpoint)
{
    struct text *text = &program->text;
    struct stream stream;
    stream_init(&stream, &config->stream, text);
    for (unsigned i = 0; i < config->length; i++) {
        program->item[i].start = text_here(text);
        if (!config->dropped || !config->dropped[i])
            stream_item(&stream, i);
        program->item[i].end = text_here(text);
        if ((i + 1) % config->chunk && i + 1 < config->length)
            continue;
        take_checkpoint(text, checkpoint);
        stream.pointer[X_RA] = 0;
        program->records++;
    }
    memcpy(program->executed, stream.executed, sizeof(stream.executed));
}

static void repeat(struct text *text, uint64_t start)
{
    TEXT(text, LD, .rd = X_T0, .rs1 = X_GP, .imm = SLOT_PASSES);
    TEXT(text, ADDI, .rd = X_T0, .rs1 = X_T0, .imm = -1);
    TEXT(text, SD, .rs1 = X_GP, .rs2 = X_T0, .imm = SLOT_PASSES);
    uint64_t done = text_here(text);
    TEXT(text, BEQ, .rs1 = X_T0);
    text_far(text, X_T0, false, start);
    text_link(text, done, text_here(text));
}

static void build_text(struct program *program, const struct program_config *config, struct rng *rng)
{
    struct text *text = &program->text;
    uint64_t limit;
    uint64_t finish = finish_routine(text, config->sync);
    uint64_t handler = trap_handler(text, finish, &limit);
    uint64_t checkpoint = checkpoint_routine(text, config->sync);
    put_data(program, SLOT_ACTION, handler);

    program->entry = text_here(text);
    text_address(text, X_GP, GP_VALUE);
    install_handler(text);
    load_registers(text, rng);
    uint64_t start = text_here(text);
    build_stream(program, config, checkpoint);
    repeat(text, start);
    TEXT(text, ADDI, .rd = X_A5);
    text_far(text, X_T0, false, finish);

    size_t end = text->size;
    text->size = (size_t)(limit - TEXT_BASE);
    text_address(text, X_T1, TEXT_BASE + end);
    text->size = end;
}

static void build_data(struct program *program, const struct program_config *config, struct rng *rng)
{
    for (unsigned i = 0; i < POOL_COUNT; i++)
        put_data(program, POOL_OFFSET + 8 * (int32_t)i,
                 value_random(rng, (enum value_kind)(i / (POOL_COUNT / VALUE_KINDS))));
    put_data(program, SLOT_CURSOR, RECORD_BASE);
    put_data(program, SLOT_PASSES, config->passes);
    put_data(program, SLOT_FACTOR, UINT64_C(0x9e3779b97f4a7c15));
    put_data(program, SLOT_STACK, ALTSTACK);
    put_data(program, SLOT_STACK + 16, ALTSTACK_SIZE);
    put_data(program, SLOT_ACTION + 8, ON_STACK_SIGINFO);
    put_data(program, SLOT_HEADER, OUTPUT_MAGIC);
    for (unsigned i = 0; i < AREA_SIZE; i += 8) {
        uint64_t value = value_random(rng, (enum value_kind)rng_below(rng, VALUE_KINDS));
        memcpy(program->data + (AREA_BASE - DATA_BASE) + i, &value, sizeof(value));
    }
}

void program_build(struct program *program, const struct program_config *config)
{
    struct rng rng = rng_make(config->stream.seed, UINT64_MAX);
    memset(program, 0, sizeof(*program));
    program->item = calloc(config->length, sizeof(*program->item));
    if (!program->item)
        abort();
    text_init(&program->text, TEXT_BASE);
    build_data(program, config, &rng);
    build_text(program, config, &rng);
    program->records *= config->passes;
}

void program_release(struct program *program)
{
    text_release(&program->text);
    free(program->item);
}

/* ---- The file ---- */

enum { PAGE = 4096, SEGMENTS = 3 };

static Elf64_Phdr segment(unsigned flags, uint64_t address, uint64_t offset, uint64_t file_size,
                          uint64_t size)
{
    return (Elf64_Phdr){.p_type = PT_LOAD,
                        .p_flags = flags,
                        .p_offset = offset,
                        .p_vaddr = address,
                        .p_paddr = address,
                        .p_filesz = file_size,
                        .p_memsz = size,
                        .p_align = PAGE};
}

static int write_at(FILE *file, uint64_t offset, const void *bytes, size_t size)
{
    return fseek(file, (long)offset, SEEK_SET) == 0 && fwrite(bytes, 1, size, file) == size ? 0 : -1;
}

int program_write(const struct program *program, FILE *file)
{
    uint64_t data_offset = PAGE;
    uint64_t text_offset = (data_offset + sizeof(program->data) + PAGE - 1) / PAGE * PAGE;
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_RISCV,
        .e_version = EV_CURRENT,
        .e_entry = program->entry,
        .e_phoff = sizeof(header),
        .e_flags = EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE,
        .e_ehsize = sizeof(header),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = SEGMENTS,
    };
    const Elf64_Phdr segments[SEGMENTS] = {
        segment(PF_R | PF_X, TEXT_BASE, text_offset, program->text.size, program->text.size),
        segment(PF_R | PF_W, DATA_BASE, data_offset, sizeof(program->data), DATA_SIZE),
        segment(PF_R | PF_W, RECORD_BASE, 0, 0, (uint64_t)program->records * RECORD_SIZE + PAGE),
    };
    if (write_at(file, 0, &header, sizeof(header)) ||
        write_at(file, sizeof(header), segments, sizeof(segments)) ||
        write_at(file, data_offset, program->data, sizeof(program->data)) ||
        write_at(file, text_offset, program->text.bytes, program->text.size))
        return -1;
    return fflush(file) == 0 ? 0 : -1;
}
