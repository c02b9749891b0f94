// Reads a disk past the page cache, one request at a time, and says how much it read.
//   blkread DEVICE rand|seq BYTES SECONDS  ->  "blkread rand 1234 requests 5678901 bytes 2000000000 ns"
// Leaves out: several requests at once.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv) {
	if (argc != 5) return 2;
	int random = strcmp(argv[2], "rand") == 0;
	size_t bytes = strtoul(argv[3], 0, 0);
	uint64_t limit = strtoull(argv[4], 0, 0) * 1000000000ull, size = 0, requests = 0, at = 0, x = 88172645463325252ull;
	int fd = open(argv[1], O_RDONLY | O_DIRECT);
	void *buffer;
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) || posix_memalign(&buffer, 4096, bytes) || size < bytes) {
		perror(argv[1]);
		return 1;
	}
	uint64_t begin = now(), end;
	do {
		if (random) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			at = x % (size / bytes) * bytes;
		}
		if (pread(fd, buffer, bytes, at) != (ssize_t)bytes) {
			perror("pread");
			return 1;
		}
		requests++;
		at += bytes;
		if (at + bytes > size) at = 0;
		end = now();
	} while (end - begin < limit);
	printf("blkread %s %llu requests %llu bytes %llu ns\n", argv[2], (unsigned long long)requests,
	       (unsigned long long)(requests * bytes), (unsigned long long)(end - begin));
	return 0;
}
