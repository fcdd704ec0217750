/* The image is laid out in one page or two, all read-only and executable, linked at 0:
 *
 *   ELF header, program headers
 *   the sections in the order of enum section
 *   section headers
 *
 * The functions make the system call of their name: the monitor serves that at once, so there is nothing to save. */
#include "process/vdso.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/util.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SONAME  "linux-vdso.so.1"
#define VERSION "LINUX_4.15"

static const struct function {
    const char *name;
    unsigned number; /* of the system call */
    bool returns;
} functions[] = {
    {"__vdso_rt_sigreturn", 139, false}, {"__vdso_gettimeofday", 169, true},
    {"__vdso_clock_gettime", 113, true}, {"__vdso_clock_getres", 114, true},
    {"__vdso_getcpu", 168, true},        {"__vdso_flush_icache", 259, true},
    {"__vdso_riscv_hwprobe", 258, true},
};

#define FUNCTIONS     ARRAY_SIZE(functions)
#define SYMBOLS       (FUNCTIONS + 2) /* the null symbol, the functions, the version */
#define HASH_BUCKETS  7
#define VERSION_INDEX 2

enum section {
    S_NULL,
    S_TEXT,
    S_EH,
    S_EH_HDR,
    S_DYNSTR,
    S_HASH,
    S_DYNSYM,
    S_VERSYM,
    S_VERDEF,
    S_NOTE,
    S_DYNAMIC,
    S_SHSTRTAB,
    S_COUNT
};

static const char *const section_names[S_COUNT] = {
    "",        ".text",        ".eh_frame",      ".eh_frame_hdr", ".dynstr",  ".hash",
    ".dynsym", ".gnu.version", ".gnu.version_d", ".note",         ".dynamic", ".shstrtab",
};

enum segment { P_LOAD, P_DYNAMIC, P_NOTE, P_EH, P_STACK, P_COUNT };

struct image {
    struct buf bytes;
    Elf64_Shdr sections[S_COUNT];
    uint32_t code[FUNCTIONS]; /* offsets of the functions in .text */
    uint32_t code_size[FUNCTIONS];
    uint32_t names[FUNCTIONS], soname, version; /* in .dynstr */
};

/* ---- Laying out ---- */

static void begin(struct image *v, enum section s, uint32_t type, uint64_t flags, uint64_t align)
{
    static const char zeros[16];
    buf_add(&v->bytes, zeros, (size_t)(-v->bytes.length & (align - 1)));
    v->sections[s] = (Elf64_Shdr){.sh_type = type,
                                  .sh_flags = flags,
                                  .sh_addr = flags & SHF_ALLOC ? v->bytes.length : 0,
                                  .sh_offset = v->bytes.length,
                                  .sh_addralign = align};
}

static void end(struct image *v, enum section s)
{
    v->sections[s].sh_size = v->bytes.length - v->sections[s].sh_offset;
}

static void add_u8(struct image *v, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    buf_add(&v->bytes, &byte, 1);
}

static void add_u32(struct image *v, uint32_t value)
{
    buf_add(&v->bytes, &value, sizeof(value));
}

/* The distance from the next word to `target`, as the exception tables store addresses. */
static void add_relative(struct image *v, uint64_t target)
{
    add_u32(v, (uint32_t)(target - v->bytes.length));
}

/* ---- Code ---- */

static void add_text(struct image *v)
{
    begin(v, S_TEXT, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 16);
    uint64_t start = v->bytes.length;
    add_u32(v, 0x00000013); /* nop: an unwinder that looks just before a return address stays inside */
    for (size_t i = 0; i < FUNCTIONS; i++) {
        v->code[i] = (uint32_t)(v->bytes.length - start);
        add_u32(v, functions[i].number << 20 | 0x893); /* li a7, number */
        add_u32(v, 0x00000073);                        /* ecall */
        if (functions[i].returns)
            add_u32(v, 0x00008067); /* ret */
        v->code_size[i] = (uint32_t)(v->bytes.length - start) - v->code[i];
    }
    end(v, S_TEXT);
}

/* ---- Unwinding ---- */

/* Where the registers are relative to sp when a handler has returned: rt_sigframe is siginfo (128 bytes), then ucontext,
 * with its mcontext at 176: pc, x1..x31, f0..f31. */
#define FRAME_GREGS (128 + 176)
#define FRAME_FREGS (FRAME_GREGS + 32 * 8)

enum {
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    OP_DEREF = 0x06,
    OP_BREG_SP = 0x72,
    PE_UDATA4 = 0x03,
    PE_DATAREL_SDATA4 = 0x3b,
    PE_PCREL_SDATA4 = 0x1b,
    DWARF_RA = 1,
    DWARF_SP = 2,
    DWARF_F0 = 32,
    DWARF_PC = 64, /* the "alternate frame return column": a pc apart from ra */
};

/* sp + offset, in the two bytes that SLEB128 needs for 64..8191. */
static void add_sp_offset(struct image *v, unsigned offset)
{
    add_u8(v, OP_BREG_SP);
    add_u8(v, (offset & 0x7f) | 0x80);
    add_u8(v, offset >> 7);
}

/* "Register `number` is saved at sp + offset." */
static void add_saved(struct image *v, unsigned number, unsigned offset)
{
    add_u8(v, CFA_EXPRESSION);
    add_u8(v, number);
    add_u8(v, 3); /* bytes of the expression */
    add_sp_offset(v, offset);
}

/* An entry of .eh_frame gets its length, which is a multiple of 8 bytes with it. */
static void finish_entry(struct image *v, size_t start)
{
    while ((v->bytes.length - start) % 8)
        add_u8(v, 0); /* DW_CFA_nop */
    uint32_t length = (uint32_t)(v->bytes.length - start - 4);
    if (!v->bytes.failed)
        memcpy(v->bytes.data + start, &length, sizeof(length));
}

static size_t add_cie(struct image *v, const char *augmentation, unsigned return_column)
{
    size_t start = v->bytes.length;
    add_u32(v, 0);
    add_u32(v, 0); /* a CIE */
    add_u8(v, 1);  /* version */
    buf_add(&v->bytes, augmentation, strlen(augmentation) + 1);
    add_u8(v, 1);    /* code alignment */
    add_u8(v, 0x78); /* data alignment: -8 */
    add_u8(v, return_column);
    add_u8(v, 1); /* bytes of augmentation data */
    add_u8(v, PE_PCREL_SDATA4);
    add_u8(v, CFA_DEF_CFA);
    add_u8(v, DWARF_SP);
    add_u8(v, 0);
    finish_entry(v, start);
    return start;
}

/* The code [from, to), offsets in .text. Returns where the entry starts; the caller adds rules and finishes it. */
static size_t begin_fde(struct image *v, size_t cie, uint32_t from, uint32_t to)
{
    size_t start = v->bytes.length;
    add_u32(v, 0);
    add_u32(v, (uint32_t)(v->bytes.length - cie));
    add_relative(v, v->sections[S_TEXT].sh_addr + from);
    add_u32(v, to - from);
    add_u8(v, 0); /* bytes of augmentation data */
    return start;
}

/* The frame that called is the interrupted one: its sp is the one saved in the context. */
static size_t add_sigreturn_fde(struct image *v)
{
    size_t cie = add_cie(v, "zRS", DWARF_PC);
    size_t start = begin_fde(v, cie, 0, v->code[1]); /* with the nop before it */
    add_u8(v, CFA_DEF_CFA_EXPRESSION);
    add_u8(v, 4);
    add_sp_offset(v, FRAME_GREGS + DWARF_SP * 8);
    add_u8(v, OP_DEREF);
    add_saved(v, DWARF_PC, FRAME_GREGS);
    for (unsigned i = 1; i < 32; i++)
        add_saved(v, i, FRAME_GREGS + i * 8);
    for (unsigned i = 0; i < 32; i++)
        add_saved(v, DWARF_F0 + i, FRAME_FREGS + i * 8);
    finish_entry(v, start);
    return start;
}

/* The other functions: nothing is moved. */
static size_t add_leaf_fde(struct image *v)
{
    size_t cie = add_cie(v, "zR", DWARF_RA);
    size_t start = begin_fde(v, cie, v->code[1], (uint32_t)v->sections[S_TEXT].sh_size);
    finish_entry(v, start);
    return start;
}

static void add_unwinding(struct image *v)
{
    uint64_t text = v->sections[S_TEXT].sh_addr;
    begin(v, S_EH, SHT_PROGBITS, SHF_ALLOC, 8);
    size_t sigreturn = add_sigreturn_fde(v), leaf = add_leaf_fde(v);
    add_u32(v, 0);
    end(v, S_EH);

    begin(v, S_EH_HDR, SHT_PROGBITS, SHF_ALLOC, 4);
    size_t header = v->bytes.length;
    add_u8(v, 1); /* version */
    add_u8(v, PE_PCREL_SDATA4);
    add_u8(v, PE_UDATA4);
    add_u8(v, PE_DATAREL_SDATA4);
    add_relative(v, v->sections[S_EH].sh_addr);
    add_u32(v, 2); /* rows, by address */
    add_u32(v, (uint32_t)(text - header));
    add_u32(v, (uint32_t)(sigreturn - header));
    add_u32(v, (uint32_t)(text + v->code[1] - header));
    add_u32(v, (uint32_t)(leaf - header));
    end(v, S_EH_HDR);
}

/* ---- Symbols ---- */

static uint32_t elf_hash(const char *name)
{
    uint32_t hash = 0;
    for (; *name; name++) {
        hash = (hash << 4) + (uint8_t)*name;
        hash ^= hash >> 24 & 0xf0;
    }
    return hash & 0x0fffffff;
}

static uint32_t add_name(struct image *v, enum section s, const char *name)
{
    uint32_t at = (uint32_t)(v->bytes.length - v->sections[s].sh_offset);
    buf_add(&v->bytes, name, strlen(name) + 1);
    return at;
}

static void add_strings(struct image *v)
{
    begin(v, S_DYNSTR, SHT_STRTAB, SHF_ALLOC, 1);
    add_u8(v, 0);
    v->soname = add_name(v, S_DYNSTR, SONAME);
    v->version = add_name(v, S_DYNSTR, VERSION);
    for (size_t i = 0; i < FUNCTIONS; i++)
        v->names[i] = add_name(v, S_DYNSTR, functions[i].name);
    end(v, S_DYNSTR);
}

/* Symbols 1..FUNCTIONS are the functions, the last one is the version's name. */
static void add_hash(struct image *v)
{
    uint32_t table[2 + HASH_BUCKETS + SYMBOLS] = {HASH_BUCKETS, SYMBOLS};
    uint32_t *buckets = table + 2, *chains = buckets + HASH_BUCKETS;
    for (uint32_t i = 1; i < SYMBOLS; i++) {
        uint32_t bucket = elf_hash(i <= FUNCTIONS ? functions[i - 1].name : VERSION) % HASH_BUCKETS;
        chains[i] = buckets[bucket];
        buckets[bucket] = i;
    }
    begin(v, S_HASH, SHT_HASH, SHF_ALLOC, 8);
    buf_add(&v->bytes, table, sizeof(table));
    end(v, S_HASH);
    v->sections[S_HASH].sh_link = S_DYNSYM;
    v->sections[S_HASH].sh_entsize = 4;
}

static void add_symbols(struct image *v)
{
    Elf64_Sym symbols[SYMBOLS] = {0};
    Elf64_Half versions[SYMBOLS] = {0};
    for (size_t i = 0; i < FUNCTIONS; i++) {
        symbols[i + 1] = (Elf64_Sym){.st_name = v->names[i],
                                     .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                     .st_shndx = S_TEXT,
                                     .st_value = v->sections[S_TEXT].sh_addr + v->code[i],
                                     .st_size = v->code_size[i]};
        versions[i + 1] = VERSION_INDEX;
    }
    symbols[SYMBOLS - 1] = (Elf64_Sym){
        .st_name = v->version, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), .st_shndx = SHN_ABS};
    versions[SYMBOLS - 1] = VERSION_INDEX;

    begin(v, S_DYNSYM, SHT_DYNSYM, SHF_ALLOC, 8);
    buf_add(&v->bytes, symbols, sizeof(symbols));
    end(v, S_DYNSYM);
    v->sections[S_DYNSYM].sh_link = S_DYNSTR;
    v->sections[S_DYNSYM].sh_info = 1; /* the first global symbol */
    v->sections[S_DYNSYM].sh_entsize = sizeof(Elf64_Sym);

    begin(v, S_VERSYM, SHT_GNU_versym, SHF_ALLOC, 2);
    buf_add(&v->bytes, versions, sizeof(versions));
    end(v, S_VERSYM);
    v->sections[S_VERSYM].sh_link = S_DYNSYM;
    v->sections[S_VERSYM].sh_entsize = sizeof(Elf64_Half);
}

static void add_version(struct image *v, const char *name, uint32_t name_at, unsigned flags, unsigned index,
                        bool last)
{
    Elf64_Verdef def = {.vd_version = VER_DEF_CURRENT,
                        .vd_flags = (Elf64_Half)flags,
                        .vd_ndx = (Elf64_Half)index,
                        .vd_cnt = 1,
                        .vd_hash = elf_hash(name),
                        .vd_aux = sizeof(Elf64_Verdef),
                        .vd_next = last ? 0 : sizeof(Elf64_Verdef) + sizeof(Elf64_Verdaux)};
    Elf64_Verdaux aux = {.vda_name = name_at};
    buf_add(&v->bytes, &def, sizeof(def));
    buf_add(&v->bytes, &aux, sizeof(aux));
}

static void add_versions(struct image *v)
{
    begin(v, S_VERDEF, SHT_GNU_verdef, SHF_ALLOC, 8);
    add_version(v, SONAME, v->soname, VER_FLG_BASE, VER_NDX_GLOBAL, false);
    add_version(v, VERSION, v->version, 0, VERSION_INDEX, true);
    end(v, S_VERDEF);
    v->sections[S_VERDEF].sh_link = S_DYNSTR;
    v->sections[S_VERDEF].sh_info = 2;
}

/* ---- The rest of the file ---- */

/* The version of Linux whose vDSO this is. */
static void add_note(struct image *v)
{
    static const char name[8] = "Linux";
    begin(v, S_NOTE, SHT_NOTE, SHF_ALLOC, 4);
    add_u32(v, 6); /* bytes of the name */
    add_u32(v, 4); /* bytes of the content */
    add_u32(v, 0); /* type: version code */
    buf_add(&v->bytes, name, sizeof(name));
    add_u32(v, 6 << 16 | 1 << 8);
    end(v, S_NOTE);
}

static void add_dynamic(struct image *v)
{
    const Elf64_Shdr *s = v->sections;
    const Elf64_Dyn dynamic[] = {
        {DT_SONAME, {v->soname}},
        {DT_HASH, {s[S_HASH].sh_addr}},
        {DT_STRTAB, {s[S_DYNSTR].sh_addr}},
        {DT_SYMTAB, {s[S_DYNSYM].sh_addr}},
        {DT_STRSZ, {s[S_DYNSTR].sh_size}},
        {DT_SYMENT, {sizeof(Elf64_Sym)}},
        {DT_VERSYM, {s[S_VERSYM].sh_addr}},
        {DT_VERDEF, {s[S_VERDEF].sh_addr}},
        {DT_VERDEFNUM, {2}},
        {DT_NULL, {0}},
    };
    begin(v, S_DYNAMIC, SHT_DYNAMIC, SHF_ALLOC, 8);
    buf_add(&v->bytes, dynamic, sizeof(dynamic));
    end(v, S_DYNAMIC);
    v->sections[S_DYNAMIC].sh_link = S_DYNSTR;
    v->sections[S_DYNAMIC].sh_entsize = sizeof(Elf64_Dyn);
}

static void add_section_headers(struct image *v)
{
    begin(v, S_SHSTRTAB, SHT_STRTAB, 0, 1);
    for (unsigned i = 0; i < S_COUNT; i++)
        v->sections[i].sh_name = add_name(v, S_SHSTRTAB, section_names[i]);
    end(v, S_SHSTRTAB);
    while (v->bytes.length % 8)
        add_u8(v, 0);
    buf_add(&v->bytes, v->sections, sizeof(v->sections));
}

static Elf64_Phdr segment_of(const struct image *v, enum section s, uint32_t type)
{
    const Elf64_Shdr *h = &v->sections[s];
    return (Elf64_Phdr){.p_type = type,
                        .p_flags = PF_R,
                        .p_offset = h->sh_offset,
                        .p_vaddr = h->sh_addr,
                        .p_paddr = h->sh_addr,
                        .p_filesz = h->sh_size,
                        .p_memsz = h->sh_size,
                        .p_align = h->sh_addralign};
}

struct headers {
    Elf64_Ehdr elf;
    Elf64_Phdr segments[P_COUNT];
};

static struct headers make_headers(const struct image *v)
{
    uint64_t size = v->bytes.length;
    struct headers h = {
        .elf = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                .e_type = ET_DYN,
                .e_machine = EM_RISCV,
                .e_version = EV_CURRENT,
                .e_phoff = sizeof(Elf64_Ehdr),
                .e_shoff = size - sizeof(v->sections),
                .e_flags = EF_RISCV_FLOAT_ABI_DOUBLE,
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = P_COUNT,
                .e_shentsize = sizeof(Elf64_Shdr),
                .e_shnum = S_COUNT,
                .e_shstrndx = S_SHSTRTAB},
    };
    h.segments[P_LOAD] = (Elf64_Phdr){
        .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = size, .p_memsz = size, .p_align = MM_PAGE};
    h.segments[P_DYNAMIC] = segment_of(v, S_DYNAMIC, PT_DYNAMIC);
    h.segments[P_NOTE] = segment_of(v, S_NOTE, PT_NOTE);
    h.segments[P_EH] = segment_of(v, S_EH_HDR, PT_GNU_EH_FRAME);
    h.segments[P_STACK] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16};
    return h;
}

/* False when memory is short. */
static bool make_image(struct image *v)
{
    struct headers headers = {0};
    buf_add(&v->bytes, &headers, sizeof(headers));
    add_text(v);
    add_unwinding(v);
    add_strings(v);
    add_hash(v);
    add_symbols(v);
    add_versions(v);
    add_note(v);
    add_dynamic(v);
    add_section_headers(v);
    if (v->bytes.failed)
        return false;
    headers = make_headers(v);
    memcpy(v->bytes.data, &headers, sizeof(headers));
    return true;
}

/* ---- Mapping ---- */

static int64_t map_image(struct mm *mm, const struct image *v)
{
    uint64_t length = ALIGN_UP(v->bytes.length, (size_t)MM_PAGE);
    int64_t at = mm_mmap(mm, 0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0)
        return at;
    if (mm_write(mm, (uint64_t)at, v->bytes.data, v->bytes.length))
        return -ENOMEM;
    int64_t status = mm_mprotect(mm, (uint64_t)at, length, PROT_READ | PROT_EXEC);
    if (status)
        return status;
    mm_name(mm, (uint64_t)at, (uint64_t)at + length, "[vdso]");
    return at;
}

int vdso_map(struct mm *mm, uint64_t *base, uint64_t *sigreturn, struct guise_error *err)
{
    struct image v = {0};
    int64_t at = make_image(&v) ? map_image(mm, &v) : -ENOMEM;
    uint64_t entry = v.sections[S_TEXT].sh_addr + v.code[0];
    buf_release(&v.bytes);
    if (at < 0)
        return error_set_errno(err, GUISE_E_NOMEM, (int)-at, "cannot map the vDSO");
    *base = (uint64_t)at;
    *sigreturn = (uint64_t)at + entry;
    return 0;
}
