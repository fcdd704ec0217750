/* `guise disasm`: lists the code of a riscv64 ELF file, with symbols as labels. The file is not trusted: every offset,
 * size and index in it is checked against what was read.
 * Source: ELF-64 Object File Format; RISC-V ELF psABI (mapping symbols). */
#include "base/error.h"
#include "base/util.h"
#include "isa/riscv/isa.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct label {
    uint64_t address;
    const char *name; /* in the file's bytes, NUL-terminated there */
    bool data;        /* mapping symbol $d: what follows is no code */
    bool mapping;     /* $d or $x: not shown */
};

struct listing {
    const char *path;
    uint8_t *bytes; /* the whole file */
    uint64_t size;
    Elf64_Ehdr header;
    struct label *labels; /* sorted by address */
    size_t label_count;
    enum guise_disasm_format format;
    FILE *out;
};

/* A run of bytes of the file with the address at which they are loaded. */
struct range {
    const char *name;
    uint64_t address, offset, size;
};

/* ---- The file ---- */

/* Copies `size` bytes at `offset`. False when the file has not so many. */
static bool get(const struct listing *l, void *to, uint64_t offset, uint64_t size)
{
    if (offset > l->size || size > l->size - offset)
        return false;
    memcpy(to, l->bytes + offset, size);
    return true;
}

/* The string at `offset` of the string table in section `table`; "" when the file is wrong about it. */
static const char *get_string(const struct listing *l, const Elf64_Shdr *table, uint64_t offset)
{
    if (table->sh_type != SHT_STRTAB || table->sh_offset > l->size ||
        table->sh_size > l->size - table->sh_offset || offset >= table->sh_size)
        return "";
    const char *text = (const char *)l->bytes + table->sh_offset + offset;
    return memchr(text, '\0', table->sh_size - offset) ? text : "";
}

static bool get_section(const struct listing *l, uint64_t index, Elf64_Shdr *section)
{
    return index < l->header.e_shnum && l->header.e_shentsize >= sizeof(*section) &&
           l->header.e_shoff <= l->size &&
           get(l, section, l->header.e_shoff + index * l->header.e_shentsize, sizeof(*section));
}

static bool get_segment(const struct listing *l, uint64_t index, Elf64_Phdr *segment)
{
    return index < l->header.e_phnum && l->header.e_phentsize >= sizeof(*segment) &&
           l->header.e_phoff <= l->size &&
           get(l, segment, l->header.e_phoff + index * l->header.e_phentsize, sizeof(*segment));
}

static int read_file(struct listing *l, int fd, struct guise_error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return error_set_errno(err, GUISE_E_IO, errno, "%s", l->path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, GUISE_E_EXEC, "%s: not a file", l->path);
    l->bytes = malloc(st.st_size ? (size_t)st.st_size : 1);
    if (!l->bytes)
        return error_set(err, GUISE_E_NOMEM, "%s: out of memory", l->path);
    while (l->size < (uint64_t)st.st_size) {
        ssize_t n = pread(fd, l->bytes + l->size, (size_t)st.st_size - l->size, (off_t)l->size);
        if (n < 0)
            return error_set_errno(err, GUISE_E_IO, errno, "%s", l->path);
        if (n == 0)
            break;
        l->size += (uint64_t)n;
    }
    return 0;
}

static int open_file(struct listing *l, struct guise_error *err)
{
    int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, GUISE_E_NOTFOUND, errno, "%s", l->path);
    int r = read_file(l, fd, err);
    close(fd);
    if (r)
        return r;
    if (!get(l, &l->header, 0, sizeof(l->header)) || memcmp(l->header.e_ident, ELFMAG, SELFMAG) != 0)
        return error_set(err, GUISE_E_EXEC, "%s: not an ELF file", l->path);
    if (l->header.e_ident[EI_CLASS] != ELFCLASS64 || l->header.e_ident[EI_DATA] != ELFDATA2LSB ||
        l->header.e_machine != EM_RISCV)
        return error_set(err, GUISE_E_EXEC, "%s: not a riscv64 program", l->path);
    return 0;
}

/* ---- Labels ---- */

static int compare_labels(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return x->mapping != y->mapping ? (x->mapping ? 1 : -1) : 0;
}

static int add_label(struct listing *l, const Elf64_Sym *symbol, const char *name)
{
    if (l->label_count % 1024 == 0) {
        struct label *labels = realloc(l->labels, (l->label_count + 1024) * sizeof(*labels));
        if (!labels)
            return GUISE_E_NOMEM;
        l->labels = labels;
    }
    bool mapping = name[0] == '$' && (name[1] == 'd' || name[1] == 'x');
    l->labels[l->label_count++] = (struct label){symbol->st_value, name, mapping && name[1] == 'd', mapping};
    return 0;
}

static bool is_code_symbol(const Elf64_Sym *symbol, const char *name)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    return symbol->st_shndx != SHN_UNDEF && *name && name[0] != '.' &&
           (type == STT_FUNC || type == STT_NOTYPE || type == STT_GNU_IFUNC);
}

static int read_symbols(struct listing *l, const Elf64_Shdr *table)
{
    Elf64_Shdr strings;
    Elf64_Sym symbol;
    if (!get_section(l, table->sh_link, &strings))
        return 0;
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < table->sh_size / sizeof(symbol); i++) {
        if (table->sh_offset > l->size ||
            !get(l, &symbol, table->sh_offset + i * sizeof(symbol), sizeof(symbol)))
            break;
        const char *name = get_string(l, &strings, symbol.st_name);
        if (is_code_symbol(&symbol, name))
            r = add_label(l, &symbol, name);
    }
    return r;
}

static bool find_section(const struct listing *l, uint32_t type, Elf64_Shdr *section)
{
    for (uint64_t i = 0; get_section(l, i, section); i++)
        if (section->sh_type == type)
            return true;
    return false;
}

/* The full table of symbols when there is one, otherwise the dynamic one. */
static int read_labels(struct listing *l)
{
    Elf64_Shdr table;
    int r = 0;
    if (find_section(l, SHT_SYMTAB, &table) || find_section(l, SHT_DYNSYM, &table))
        r = read_symbols(l, &table);
    if (l->label_count)
        qsort(l->labels, l->label_count, sizeof(l->labels[0]), compare_labels);
    return r;
}

/* Index of the first label at or after `address`. */
static size_t label_at(const struct listing *l, uint64_t address)
{
    size_t low = 0, high = l->label_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->labels[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The name that covers `address`, or NULL; stores how far from its start it is. */
static const char *symbol_of(const struct listing *l, uint64_t address, uint64_t *offset)
{
    size_t i = label_at(l, address + 1);
    while (i > 0 && l->labels[i - 1].mapping)
        i--;
    if (i == 0)
        return NULL;
    uint64_t start = l->labels[i - 1].address;
    while (i > 1 && l->labels[i - 2].address == start) /* the first of those that start there */
        i--;
    *offset = address - start;
    return l->labels[i - 1].name;
}

/* ---- Output ---- */

/* A JSON string; bytes that are no ASCII become '?': names in an ELF file have no encoding. */
static void put_json(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else
            fputc(c < 0x20 || c >= 0x7f ? (c == '\t' ? ' ' : '?') : c, out);
    }
    fputc('"', out);
}

/* Names may hold anything: a terminal gets no control characters. */
static void put_name(FILE *out, const char *name)
{
    for (; *name; name++)
        fputc((unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name, out);
}

static void put_labels(const struct listing *l, uint64_t address)
{
    for (size_t i = label_at(l, address); i < l->label_count && l->labels[i].address == address; i++) {
        if (l->labels[i].mapping)
            continue;
        if (l->format == GUISE_DISASM_JSON) {
            fprintf(l->out, "{\"address\":%" PRIu64 ",\"label\":", address);
            put_json(l->out, l->labels[i].name);
            fprintf(l->out, "}\n");
        } else {
            fprintf(l->out, "\n%016" PRIx64 " <", address);
            put_name(l->out, l->labels[i].name);
            fprintf(l->out, ">:\n");
        }
    }
}

/* Where a branch or direct jump goes, in words of symbols. */
static void put_target(const struct listing *l, const struct rv_insn *insn, uint64_t address)
{
    uint64_t offset;
    if (!(rv_op_flags(insn->op) & (RV_BRANCH | RV_JUMP)) || insn->op == RV_JALR)
        return;
    const char *name = symbol_of(l, address + (uint64_t)(int64_t)insn->imm, &offset);
    if (!name)
        return;
    fprintf(l->out, " <");
    put_name(l->out, name);
    fprintf(l->out, offset ? "+0x%" PRIx64 ">" : ">", offset);
}

static void put_text(const struct listing *l, uint64_t address, const struct rv_insn *insn, const char *text)
{
    int digits = insn->length * 2;
    fprintf(l->out, "%8" PRIx64 ":\t%0*" PRIx32 "%*s\t%s", address, digits, insn->word, 8 - digits, "", text);
    put_target(l, insn, address);
    fputc('\n', l->out);
}

static void put_record(const struct listing *l, uint64_t address, const struct rv_insn *insn,
                       const char *text)
{
    fprintf(l->out,
            "{\"address\":%" PRIu64 ",\"length\":%d,\"word\":%" PRIu32 ",\"valid\":%s,\"text\":", address,
            insn->length, insn->word, insn->op == RV_INVALID ? "false" : "true");
    put_json(l->out, text);
    fprintf(l->out, "}\n");
}

/* One instruction, or the data that a mapping symbol announces. Returns its length. */
static unsigned put_insn(const struct listing *l, uint64_t address, const uint8_t *at, uint64_t left,
                         bool data)
{
    struct rv_insn insn = {.op = RV_INVALID};
    char text[128];
    uint32_t word = 0;
    memcpy(&word, at, MIN(left, sizeof(word)));
    if (!data)
        rv_decode(word, &insn);
    if (data || insn.length > left) {
        insn.op = RV_INVALID;
        insn.length = (uint8_t)(left >= 4 && address % 4 == 0 ? 4 : MIN(left, 2));
    }
    insn.word = insn.length == 4 ? word : insn.length == 2 ? word & 0xffff : word & 0xff;
    if (insn.op == RV_INVALID)
        snprintf(text, sizeof(text), ".%s\t0x%" PRIx32,
                 insn.length == 4   ? "word"
                 : insn.length == 2 ? "half"
                                    : "byte",
                 insn.word);
    else
        rv_disasm(&insn, address, text, sizeof(text));
    if (l->format == GUISE_DISASM_JSON)
        put_record(l, address, &insn, text);
    else
        put_text(l, address, &insn, text);
    return insn.length;
}

/* True if a mapping symbol at `address` says that data begins (false: code); otherwise what was said last. */
static bool data_at(const struct listing *l, uint64_t address, bool data)
{
    for (size_t i = label_at(l, address); i < l->label_count && l->labels[i].address == address; i++)
        if (l->labels[i].mapping)
            data = l->labels[i].data;
    return data;
}

static void put_range(const struct listing *l, const struct range *range)
{
    uint64_t size = range->offset > l->size ? 0 : MIN(range->size, l->size - range->offset);
    if (l->format == GUISE_DISASM_TEXT) {
        fprintf(l->out, "\nDisassembly of ");
        put_name(l->out, range->name);
        fprintf(l->out, ":\n");
    }
    bool data = false;
    for (uint64_t at = 0; at < size && !ferror(l->out);) {
        uint64_t address = range->address + at;
        data = data_at(l, address, data);
        put_labels(l, address);
        at += put_insn(l, address, l->bytes + range->offset + at, size - at, data);
    }
}

/* ---- What to list ---- */

/* Returns how many sections were listed. */
static unsigned put_sections(const struct listing *l, const char *only)
{
    Elf64_Shdr names = {0}, section;
    unsigned count = 0;
    get_section(l, l->header.e_shstrndx, &names);
    for (uint64_t i = 0; get_section(l, i, &section); i++) {
        const char *name = get_string(l, &names, section.sh_name);
        bool wanted = only ? strcmp(name, only) == 0 : (section.sh_flags & SHF_EXECINSTR) != 0;
        if (!wanted || section.sh_type == SHT_NOBITS)
            continue;
        put_range(l, &(struct range){name, section.sh_addr, section.sh_offset, section.sh_size});
        count++;
    }
    return count;
}

static unsigned put_segments(const struct listing *l)
{
    Elf64_Phdr segment;
    unsigned count = 0;
    for (uint64_t i = 0; get_segment(l, i, &segment); i++) {
        if (segment.p_type != PT_LOAD || !(segment.p_flags & PF_X))
            continue;
        put_range(
            l, &(struct range){"an executable segment", segment.p_vaddr, segment.p_offset, segment.p_filesz});
        count++;
    }
    return count;
}

static int list_code(struct listing *l, const char *section, struct guise_error *err)
{
    if (read_labels(l))
        return error_set(err, GUISE_E_NOMEM, "%s: out of memory", l->path);
    if (l->format == GUISE_DISASM_TEXT)
        fprintf(l->out, "%s: riscv64\n", l->path);
    unsigned count = put_sections(l, section);
    if (count == 0 && section)
        return error_set(err, GUISE_E_NOTFOUND, "%s: no section %s", l->path, section);
    if (count == 0)
        count = put_segments(l);
    if (count == 0)
        return error_set(err, GUISE_E_EXEC, "%s: there is no code in it", l->path);
    if (fflush(l->out) || ferror(l->out))
        return error_set_errno(err, GUISE_E_IO, errno, "cannot write");
    return 0;
}

int guise_disasm(const char *path, const char *section, enum guise_disasm_format format, FILE *out,
                 struct guise_error *err)
{
    struct listing listing = {.path = path, .format = format, .out = out};
    int r = open_file(&listing, err);
    if (r == 0)
        r = list_code(&listing, section, err);
    free(listing.labels);
    free(listing.bytes);
    return r;
}
