/* Files: every layout of stat, directories, all ways to read and write, links, times, locks, attributes, limits.
 * reference: native qemu-user 7.2 knows fewer of these calls than the host
 */
#include "test.h"
#include <dirent.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static char text[8192];

static int make(const char *name, const char *contents)
{
    int fd = (int)MUST(open(name, O_RDWR | O_CREAT | O_TRUNC, 0640));
    size_t n = strlen(contents);
    if (n)
        MUST(write(fd, contents, n));
    return fd;
}

static bool holds(const char *name, const char *contents)
{
    memset(text, 0, sizeof text);
    int fd = open(name, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n >= 0 && strcmp(text, contents) == 0;
}

static void test_stat(void)
{
    struct stat s, l, f, d;
    struct statx x;
    struct statfs fs;
    struct timespec times[2] = {{1000000001, 123456789}, {1000000002, 987654321}};
    int fd = make("stat", "hello");
    EQ("utimensat", utimensat(AT_FDCWD, "stat", times, 0), 0);
    MUST(fstat(fd, &f));
    MUST(stat("stat", &s));
    MUST(fstatat(AT_FDCWD, "stat", &d, 0));
    OK("stat, fstat, fstatat agree", memcmp(&s, &f, sizeof s) == 0 && memcmp(&s, &d, sizeof s) == 0);
    EQ("size", s.st_size, 5);
    EQ("mode", s.st_mode, S_IFREG | 0640);
    EQ("links", s.st_nlink, 1);
    EQ("owner", s.st_uid, geteuid());
    EQ("atime", s.st_atim.tv_sec, 1000000001);
    EQ("atime: nanoseconds", s.st_atim.tv_nsec, 123456789);
    EQ("mtime", s.st_mtim.tv_sec, 1000000002);
    EQ("mtime: nanoseconds", s.st_mtim.tv_nsec, 987654321);
    OK("ctime is now", s.st_ctim.tv_sec > 1600000000);
    OK("block size", s.st_blksize >= 512 && s.st_blksize <= 1 << 24);
    MUST(statx(AT_FDCWD, "stat", 0, STATX_BASIC_STATS, &x));
    OK("statx agrees", x.stx_size == 5 && x.stx_mode == s.st_mode && x.stx_ino == s.st_ino &&
                           x.stx_mtime.tv_nsec == 987654321 &&
                           makedev(x.stx_dev_major, x.stx_dev_minor) == s.st_dev);
    MUST(symlink("stat", "link"));
    MUST(lstat("link", &l));
    EQ("lstat: mode", l.st_mode & S_IFMT, S_IFLNK);
    EQ("lstat: size", l.st_size, 4);
    MUST(stat("link", &s));
    EQ("stat follows", s.st_ino, f.st_ino);
    EQ("AT_EMPTY_PATH", fstatat(fd, "", &d, AT_EMPTY_PATH) == 0 ? (long)d.st_ino : -1, f.st_ino);
    ERR("bad flags", fstatat(AT_FDCWD, "stat", &d, 0x4000000), EINVAL);
    MUST(stat("/dev/null", &s));
    OK("device numbers", S_ISCHR(s.st_mode) && s.st_rdev == makedev(1, 3));
    MUST(statfs(".", &fs));
    OK("statfs", fs.f_bsize > 0 && fs.f_blocks > 0 && fs.f_namelen >= 100);
    ERR("no such file", stat("none", &s), ENOENT);
    ERR("not a directory", stat("stat/x", &s), ENOTDIR);
    ERR("closed descriptor", fstat(777, &s), EBADF);
    close(fd);
}

static void test_directories(void)
{
    EQ("mkdir", mkdir("dir", 0755), 0);
    ERR("mkdir again", mkdir("dir", 0755), EEXIST);
    for (int i = 0; i < 500; i++) {
        char name[64];
        snprintf(name, sizeof name, "dir/a-file-with-a-rather-long-name-%03d", i);
        close(make(name, ""));
    }
    DIR *dir = opendir("dir");
    bool seen[500] = {false};
    int count = 0, dots = 0, types = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        int i;
        if (e->d_name[0] == '.')
            dots++;
        else if (sscanf(e->d_name, "a-file-with-a-rather-long-name-%d", &i) == 1 && !seen[i]) {
            seen[i] = true;
            count++;
            types += e->d_type == DT_REG || e->d_type == DT_UNKNOWN;
        }
    }
    EQ("readdir: files", count, 500);
    EQ("readdir: dots", dots, 2);
    EQ("readdir: types", types, 500);
    rewinddir(dir);
    OK("rewinddir", readdir(dir) != NULL);
    long place = telldir(dir);
    struct dirent *next = readdir(dir);
    char name[256];
    snprintf(name, sizeof name, "%s", next->d_name);
    seekdir(dir, place);
    STR("seekdir", readdir(dir)->d_name, name);
    ERR("getdents64: short buffer",
        (lseek(dirfd(dir), 0, SEEK_SET), syscall(SYS_getdents64, dirfd(dir), text, 10)), EINVAL);
    closedir(dir);
    ERR("rmdir of a full directory", rmdir("dir"), ENOTEMPTY);
    char cwd[PATH_MAX], inner[PATH_MAX];
    MUST((long)getcwd(cwd, sizeof cwd) == 0 ? -1 : 0);
    EQ("chdir", chdir("dir"), 0);
    MUST((long)getcwd(inner, sizeof inner) == 0 ? -1 : 0);
    OK("getcwd", strncmp(inner, cwd, strlen(cwd)) == 0 && strcmp(inner + strlen(cwd), "/dir") == 0);
    ERR("getcwd: short buffer", syscall(SYS_getcwd, inner, 3), ERANGE);
    int up = open("..", O_RDONLY | O_DIRECTORY);
    EQ("fchdir", fchdir(up), 0);
    close(up);
    ERR("open a directory for writing", open("dir", O_RDWR), EISDIR);
    ERR("O_DIRECTORY of a file", open("stat", O_DIRECTORY), ENOTDIR);
    ERR("unlink of a directory", unlink("dir"), EISDIR);
    EQ("rm", system("rm -r dir"), 0);
}

static void test_open(void)
{
    int fd = make("open", "0123456789");
    ERR("O_EXCL", open("open", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
    ERR("O_NOFOLLOW", open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
    int path = open("link", O_PATH | O_NOFOLLOW);
    OK("O_PATH", path >= 0);
    ERR("O_PATH cannot be read", read(path, text, 1), EBADF);
    close(path);
    int append = open("open", O_WRONLY | O_APPEND);
    EQ("flags", fcntl(append, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
    MUST(write(append, "ab", 2));
    close(append);
    OK("O_APPEND", holds("open", "0123456789ab"));
    int temporary = open(".", O_TMPFILE | O_RDWR, 0600);
    OK("O_TMPFILE", temporary >= 0 || errno == EOPNOTSUPP);
    close(temporary);
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    int same = openat(directory, "open", O_RDONLY | O_CLOEXEC);
    OK("openat", same >= 0 && fcntl(same, F_GETFD) == FD_CLOEXEC);
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    int beneath = (int)syscall(SYS_openat2, directory, "open", &how, sizeof how);
    OK("openat2", beneath >= 0);
    close(beneath);
    ERR("openat2 beneath", syscall(SYS_openat2, directory, "../x", &how, sizeof how), EXDEV);
    ERR("read of a write-only descriptor", (beneath = open("open", O_WRONLY), read(beneath, text, 1)), EBADF);
    close(beneath);
    int copy = dup3(same, 200, O_CLOEXEC);
    EQ("dup3", copy, 200);
    ERR("dup3 onto itself", dup3(same, same, 0), EINVAL);
    EQ("dup2 onto itself", dup2(same, same), same);
    EQ("F_DUPFD", fcntl(same, F_DUPFD_CLOEXEC, 300), 300);
    EQ("close_range", syscall(SYS_close_range, 200, 300, 0), 0);
    ERR("closed by it", fcntl(300, F_GETFD), EBADF);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    struct rlimit low = {50, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    int last = -1, next;
    while ((next = dup(same)) >= 0)
        last = next;
    OK("RLIMIT_NOFILE", errno == EMFILE && last == 49);
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 20; i < 50; i++)
        close(i);
    close(fd);
}

static void test_io(void)
{
    int fd = make("io", "");
    struct iovec out[3] = {{"one", 3}, {"", 0}, {"three", 5}};
    char a[4] = "", b[6] = "";
    struct iovec in[2] = {{a, 3}, {b, 5}};
    EQ("writev", writev(fd, out, 3), 8);
    EQ("pwrite", pwrite(fd, "X", 1, 20), 1);
    EQ("the hole is zero", pread(fd, text, 30, 0) == 21 ? text[10] : -1, 0);
    EQ("pread past the end", pread(fd, text, 5, 100), 0);
    EQ("preadv", preadv(fd, in, 2, 0), 8);
    OK("its buffers", strcmp(a, "one") == 0 && strcmp(b, "three") == 0);
    EQ("pwritev", pwritev(fd, out, 3, 30), 8);
    EQ("preadv2", preadv2(fd, in, 2, 30, 0), 8);
    EQ("pwritev2 appends", pwritev2(fd, out, 1, -1, RWF_APPEND), 3);
    ERR("preadv2: bad flags", preadv2(fd, in, 2, 0, 0x4000), EOPNOTSUPP);
    EQ("position", lseek(fd, 0, SEEK_CUR), 41);
    EQ("SEEK_END", lseek(fd, -1, SEEK_END), 40);
    ERR("negative position", lseek(fd, -100, SEEK_SET), EINVAL);
    ERR("bad whence", lseek(fd, 0, 99), EINVAL);
    EQ("SEEK_DATA", lseek(fd, 0, SEEK_DATA), 0);
    EQ("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE), 41);
    struct iovec many[1025];
    for (int i = 0; i < 1025; i++)
        many[i] = (struct iovec){"z", 1};
    ERR("more than IOV_MAX buffers", writev(fd, many, 1025), EINVAL);
    EQ("IOV_MAX buffers", writev(fd, many, 1024), 1024);
    many[0].iov_len = (size_t)-1;
    ERR("a negative length", writev(fd, many, 1), EINVAL);
    EQ("ftruncate", ftruncate(fd, 3), 0);
    OK("shorter", holds("io", "one"));
    EQ("ftruncate to a long one", ftruncate(fd, 5UL << 32), 0);
    struct stat s;
    fstat(fd, &s);
    EQ("20 GiB, sparse", s.st_size, 5L << 32);
    EQ("write up there", pwrite(fd, "end", 3, 0x4fffffff0), 3);
    EQ("read up there", pread(fd, text, 3, 0x4fffffff0), 3);
    ERR("ftruncate: negative", ftruncate(fd, -1), EINVAL);
    MUST(ftruncate(fd, 0));
    EQ("fallocate", posix_fallocate(fd, 0, 10000), 0);
    fstat(fd, &s);
    EQ("its size", s.st_size, 10000);
    EQ("fallocate KEEP_SIZE", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000), 0);
    ERR("fallocate: bad length", fallocate(fd, 0, 0, 0), EINVAL);
    EQ("fsync", fsync(fd), 0);
    EQ("fdatasync", fdatasync(fd), 0);
    EQ("sync_file_range", sync_file_range(fd, 0, 100, SYNC_FILE_RANGE_WRITE), 0);
    EQ("readahead", readahead(fd, 0, 4096), 0);
    EQ("fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
    int ready = -1;
    EQ("FIONREAD", ioctl(fd, FIONREAD, &ready), 0);
    ERR("TCGETS of a file", ioctl(fd, 0x5401, text), ENOTTY);
    close(fd);
}

static void test_copies(void)
{
    memset(text, 'q', 5000);
    text[5000] = 0;
    int from = make("from", text), to = make("to", "");
    off_t at = 10;
    EQ("sendfile", sendfile(to, from, &at, 100), 100);
    EQ("sendfile moves the offset", at, 110);
    off_t in = 0, out = 200;
    EQ("copy_file_range", copy_file_range(from, &in, to, &out, 1000, 0), 1000);
    OK("its offsets", in == 1000 && out == 1200);
    int tube[2], other[2];
    MUST(pipe(tube));
    MUST(pipe(other));
    off_t place = 0;
    EQ("splice into a pipe", splice(from, &place, tube[1], NULL, 50, 0), 50);
    EQ("tee", tee(tube[0], other[1], 50, 0), 50);
    EQ("splice out of a pipe", splice(tube[0], NULL, to, NULL, 50, 0), 50);
    struct iovec vector = {"vmsplice", 8};
    EQ("vmsplice", vmsplice(tube[1], &vector, 1, 0), 8);
    memset(text, 0, sizeof text);
    EQ("and read", read(tube[0], text, 100), 8);
    STR("its bytes", text, "vmsplice");
    EQ("the other end of tee", read(other[0], text, 100), 50);
    EQ("F_SETPIPE_SZ", fcntl(tube[0], F_SETPIPE_SZ, 8192), 8192);
    EQ("F_GETPIPE_SZ", fcntl(tube[1], F_GETPIPE_SZ), 8192);
    ERR("splice of two files", splice(from, NULL, to, NULL, 10, 0), EINVAL);
    close(from);
    close(to);
}

static void test_names(void)
{
    close(make("name", "n"));
    EQ("link", link("name", "hard"), 0);
    struct stat s;
    stat("hard", &s);
    EQ("two links", s.st_nlink, 2);
    EQ("rename", rename("name", "renamed"), 0);
    ERR("RENAME_NOREPLACE", renameat2(AT_FDCWD, "renamed", AT_FDCWD, "hard", RENAME_NOREPLACE), EEXIST);
    close(make("second", "s"));
    EQ("RENAME_EXCHANGE", renameat2(AT_FDCWD, "renamed", AT_FDCWD, "second", RENAME_EXCHANGE), 0);
    OK("exchanged", holds("second", "n") && holds("renamed", "s"));
    ERR("bad flags", renameat2(AT_FDCWD, "renamed", AT_FDCWD, "second", 0x40), EINVAL);
    memset(text, 0, 20);
    EQ("readlink", readlink("link", text, 20), 4);
    STR("its target", text, "stat");
    EQ("readlink cuts", readlink("link", text, 2), 2);
    ERR("readlink of a file", readlink("stat", text, 20), EINVAL);
    ERR("symlink exists", symlink("x", "link"), EEXIST);
    EQ("access", access("stat", R_OK | W_OK), 0);
    ERR("access X_OK", access("stat", X_OK), EACCES);
    EQ("faccessat2", faccessat(AT_FDCWD, "stat", R_OK, AT_EACCESS), 0);
    ERR("access: bad mode", access("stat", 64), EINVAL);
    EQ("chmod", chmod("stat", 04755), 0);
    stat("stat", &s);
    EQ("mode", s.st_mode & 07777, 04755);
    EQ("umask", umask(027), 022);
    close(open("masked", O_CREAT | O_WRONLY, 0666));
    stat("masked", &s);
    EQ("applied", s.st_mode & 0777, 0640);
    umask(022);
    EQ("mkfifo", mkfifo("fifo", 0600), 0);
    int fifo = open("fifo", O_RDWR | O_NONBLOCK);
    EQ("write to it", write(fifo, "f", 1), 1);
    EQ("read from it", read(fifo, text, 5), 1);
    close(fifo);
    EQ("truncate", truncate("second", 0), 0);
    EQ("unlink", unlink("second"), 0);
    ERR("unlink again", unlink("second"), ENOENT);
    struct timeval times[2] = {{5, 6}, {7, 8}};
    EQ("utimes", utimes("stat", times), 0);
    stat("stat", &s);
    OK("microseconds", s.st_mtim.tv_sec == 7 && s.st_mtim.tv_nsec == 8000);
    struct timespec omit[2] = {{0, UTIME_OMIT}, {9, 9}};
    EQ("UTIME_OMIT", utimensat(AT_FDCWD, "stat", omit, 0), 0);
    stat("stat", &s);
    OK("only one changed", s.st_atim.tv_sec == 5 && s.st_mtim.tv_sec == 9);
    struct timespec bad[2] = {{0, 2000000000}, {0, 0}};
    ERR("bad nanoseconds", utimensat(AT_FDCWD, "stat", bad, 0), EINVAL);
}

static void test_locks(void)
{
    int one = make("locks", ""), two = open("locks", O_RDWR);
    EQ("flock", flock(one, LOCK_EX), 0);
    ERR("flock from another description", flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    EQ("unlock", flock(one, LOCK_UN), 0);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20}, seen;
    EQ("F_SETLK", fcntl(one, F_SETLK, &range), 0);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        seen = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1};
        int result = fcntl(two, F_GETLK, &seen);
        bool right = result == 0 && seen.l_type == F_WRLCK && seen.l_start == 10 && seen.l_len == 20 &&
                     seen.l_pid == parent;
        seen = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 11};
        right &= fcntl(two, F_SETLK, &seen) == -1 && (errno == EAGAIN || errno == EACCES);
        seen.l_len = 10;
        right &= fcntl(two, F_SETLK, &seen) == 0;
        _exit(right);
    }
    int status;
    waitpid(child, &status, 0);
    EQ("record locks as another process sees them", WEXITSTATUS(status), 1);
    struct flock open_lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
    EQ("F_OFD_SETLK", fcntl(one, F_OFD_SETLK, &open_lock), 0);
    ERR("against another description", fcntl(two, F_OFD_SETLK, &open_lock), EAGAIN);
    EQ("lockf", lockf(one, F_TLOCK, 5), 0);
    close(one);
    close(two);
}

static void test_xattr(void)
{
    int fd = make("xattr", "");
    if (setxattr("xattr", "user.one", "value", 5, 0) == -1 && errno == EOPNOTSUPP) {
        say("no extended attributes here");
        return;
    }
    memset(text, 0, 100);
    EQ("getxattr", getxattr("xattr", "user.one", text, 100), 5);
    STR("its value", text, "value");
    EQ("size only", getxattr("xattr", "user.one", NULL, 0), 5);
    ERR("short buffer", getxattr("xattr", "user.one", text, 2), ERANGE);
    ERR("XATTR_CREATE", setxattr("xattr", "user.one", "x", 1, XATTR_CREATE), EEXIST);
    EQ("fsetxattr", fsetxattr(fd, "user.two", "2", 1, 0), 0);
    EQ("listxattr", listxattr("xattr", text, 100) >= 18, 1);
    EQ("removexattr", removexattr("xattr", "user.one"), 0);
    ERR("gone", fgetxattr(fd, "user.one", text, 100), ENODATA);
    ERR("a bad name", setxattr("xattr", "nonsense", "x", 1, 0), EOPNOTSUPP);
    close(fd);
}

static void test_memfd(void)
{
    int fd = memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    MUST(ftruncate(fd, 100));
    EQ("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    EQ("seals", fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_WRITE);
    ERR("write to it", write(fd, "x", 1), EPERM);
    ERR("shrink it", ftruncate(fd, 10), EPERM);
    ERR("memfd_create: bad flags", memfd_create("x", 0x8000), EINVAL);
    char link[64], path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, link, sizeof link - 1);
    link[n > 0 ? n : 0] = 0;
    STR("its name", link, "/memfd:name (deleted)");
    close(fd);
}

int main(void)
{
    enter_scratch();
    test_stat();
    test_directories();
    test_open();
    test_io();
    test_copies();
    test_names();
    test_locks();
    test_xattr();
    test_memfd();
    leave_scratch();
    return test_end();
}
