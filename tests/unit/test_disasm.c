/* guise_disasm(): what it lists, and that no file, however wrong, makes it read where it must not. */
#include <fcntl.h>
#include <guise.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "rv_program.h"

/* A program with a section table: .text, a symbol table and its strings. */
struct rv_object {
    struct rv_elf elf;
    Elf64_Shdr sections[5]; /* none, .text, .symtab, .strtab, .shstrtab */
    Elf64_Sym symbols[3];
    char strings[32], names[40];
};

static const char strings[] = "\0start\0again";
static const char names[] = "\0.text\0.symtab\0.strtab\0.shstrtab";

static struct rv_object make_object(void)
{
    struct rv_object o = {.elf = rv_program(rv_exit_42, sizeof(rv_exit_42))};
    uint64_t address = o.elf.header.e_entry;
    o.elf.code[3] = 0xff5ff06f; /* j .-12 */
    o.elf.header.e_shoff = offsetof(struct rv_object, sections);
    o.elf.header.e_shentsize = sizeof(Elf64_Shdr);
    o.elf.header.e_shnum = 5;
    o.elf.header.e_shstrndx = 4;
    o.sections[1] = (Elf64_Shdr){.sh_name = 1,
                                 .sh_type = SHT_PROGBITS,
                                 .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                 .sh_addr = address,
                                 .sh_offset = offsetof(struct rv_elf, code),
                                 .sh_size = 18};
    o.sections[2] = (Elf64_Shdr){.sh_name = 7,
                                 .sh_type = SHT_SYMTAB,
                                 .sh_link = 3,
                                 .sh_offset = offsetof(struct rv_object, symbols),
                                 .sh_size = sizeof(o.symbols),
                                 .sh_entsize = sizeof(Elf64_Sym)};
    o.sections[3] = (Elf64_Shdr){.sh_name = 15,
                                 .sh_type = SHT_STRTAB,
                                 .sh_offset = offsetof(struct rv_object, strings),
                                 .sh_size = sizeof(o.strings)};
    o.sections[4] = (Elf64_Shdr){.sh_name = 23,
                                 .sh_type = SHT_STRTAB,
                                 .sh_offset = offsetof(struct rv_object, names),
                                 .sh_size = sizeof(o.names)};
    o.symbols[1] = (Elf64_Sym){.st_name = 1, .st_info = STT_FUNC, .st_shndx = 1, .st_value = address};
    o.symbols[2] = (Elf64_Sym){.st_name = 7, .st_info = STT_FUNC, .st_shndx = 1, .st_value = address + 8};
    memcpy(o.strings, strings, sizeof(strings));
    memcpy(o.names, names, sizeof(names));
    return o;
}

static void write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static void make_path(char *path)
{
    strcpy(path, "/tmp/guise-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static char *listing(const char *path, const char *section, enum guise_disasm_format format, int *result)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    *result = guise_disasm(path, section, format, out, NULL);
    fclose(out);
    return text;
}

static void test_listing(void **state)
{
    char path[64];
    int r;
    (void)state;
    struct rv_object o = make_object();
    make_path(path);
    write_file(path, &o, sizeof(o));
    char *text = listing(path, NULL, GUISE_DISASM_TEXT, &r);
    assert_int_equal(r, 0);
    assert_non_null(strstr(text, "<start>:\n"));
    assert_non_null(strstr(text, "<again>:\n"));
    assert_non_null(strstr(text, "ecall"));
    assert_non_null(strstr(text, "<start>\n")); /* the jump's target */
    assert_non_null(strstr(text, ".half\t0x0"));
    free(text);
    text = listing(path, ".text", GUISE_DISASM_JSON, &r);
    assert_int_equal(r, 0);
    assert_non_null(strstr(text, "\"label\":\"again\"}"));
    assert_non_null(strstr(text, "\"length\":4,\"word\":115,\"valid\":true,\"text\":\"ecall"));
    free(text);
    free(listing(path, ".data", GUISE_DISASM_TEXT, &r));
    assert_int_equal(r, GUISE_E_NOTFOUND);
    unlink(path);
}

static void test_segments(void **state)
{
    char path[64];
    int r;
    (void)state;
    rv_program_write(path, rv_exit_42, sizeof(rv_exit_42));
    char *text = listing(path, NULL, GUISE_DISASM_TEXT, &r);
    assert_int_equal(r, 0);
    assert_non_null(strstr(text, "ecall"));
    free(text);
    unlink(path);
}

static void test_refused(void **state)
{
    char path[64];
    int r;
    (void)state;
    free(listing("/nonexistent", NULL, GUISE_DISASM_TEXT, &r));
    assert_int_equal(r, GUISE_E_NOTFOUND);
    free(listing("/proc/self/exe", NULL, GUISE_DISASM_TEXT, &r));
    assert_int_equal(r, GUISE_E_EXEC);
    free(listing("/", NULL, GUISE_DISASM_TEXT, &r));
    assert_int_equal(r, GUISE_E_EXEC);
    make_path(path);
    free(listing(path, NULL, GUISE_DISASM_TEXT, &r));
    assert_int_equal(r, GUISE_E_EXEC);
    unlink(path);
}

static void test_truncated(void **state)
{
    char path[64];
    int r;
    (void)state;
    struct rv_object o = make_object();
    make_path(path);
    for (size_t size = 0; size < sizeof(o); size++) {
        write_file(path, &o, size);
        free(listing(path, NULL, GUISE_DISASM_TEXT, &r));
    }
    unlink(path);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void test_mutated(void **state)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
    uint32_t seed = 20250101;
    char path[64];
    int r;
    (void)state;
    make_path(path);
    for (int run = 0; run < 3000; run++) {
        struct rv_object o = make_object();
        uint8_t *bytes = (uint8_t *)&o;
        for (uint32_t n = next_random(&seed) % 8 + 1; n; n--) {
            size_t at = EI_CLASS + 2 + next_random(&seed) % (sizeof(o) - EI_CLASS - 2);
            bytes[at] = values[next_random(&seed) % sizeof(values)];
        }
        write_file(path, &o, sizeof(o));
        free(listing(path, NULL, run & 1 ? GUISE_DISASM_JSON : GUISE_DISASM_TEXT, &r));
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listing),   cmocka_unit_test(test_segments), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_mutated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
