// A pseudo terminal, and a second descriptor of an open file: what Node has no function for.
// Sources: pty(7), posix_openpt(3), ptsname(3), cfmakeraw(3), fcntl(2).
// Left out: everything that reading and writing the master does; sizes of its window.
#include "addon.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

namespace splitvm {
namespace {

/** A descriptor that is closed unless it is released. */
class Owned {
 public:
  explicit Owned(int fd) : fd_(fd) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (fd_ >= 0) close(fd_);
  }
  int Get() const { return fd_; }
  int Release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

Napi::Value OpenPty(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Owned master(Check(env, posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), "posix_openpt"));
  Check(env, grantpt(master.Get()), "grantpt");
  Check(env, unlockpt(master.Get()), "unlockpt");
  char path[PATH_MAX];
  int error = ptsname_r(master.Get(), path, sizeof path);
  if (error != 0) throw SystemError(env, error, "ptsname");
  // Opened and closed once: from then on the master hangs up while nobody has the other side open.
  Owned other(Check(env, open(path, O_RDWR | O_NOCTTY | O_CLOEXEC), "open"));
  termios terminal;
  Check(env, tcgetattr(other.Get(), &terminal), "tcgetattr");
  cfmakeraw(&terminal);
  Check(env, tcsetattr(other.Get(), TCSANOW, &terminal), "tcsetattr");
  Napi::Object result = Napi::Object::New(env);
  result.Set("path", path);
  result.Set("fd", master.Release());
  return result;
}

Napi::Value Duplicate(const Napi::CallbackInfo& info) {
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  return Napi::Number::New(info.Env(), Check(info.Env(), fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl"));
}

}  // namespace

void RegisterPty(Napi::Object exports) {
  Export<OpenPty>(exports, "openPty");
  Export<Duplicate>(exports, "duplicate");
}

}  // namespace splitvm
