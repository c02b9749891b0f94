// Locks on ranges of a file, held by an open file description.
// Sources: fcntl(2) "Open file description locks (non-POSIX)".
// Left out: waiting for a lock; POSIX locks, which a close of any descriptor of the file would drop.
#include "addon.h"

#include <fcntl.h>

#include <cerrno>

namespace splitvm {
namespace {

struct flock Range(const Args& args, short type) {
  struct flock range = {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = args.Size(1, "start");
  range.l_len = args.Size(2, "length");
  return range;
}

Napi::Value LockShared(const Napi::CallbackInfo& info) {
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  struct flock range = Range(args, F_RDLCK);
  int result = fcntl(fd, F_OFD_SETLK, &range);
  if (result != 0 && (errno == EAGAIN || errno == EACCES)) return Napi::Boolean::New(info.Env(), false);
  Check(info.Env(), result, "fcntl");
  return Napi::Boolean::New(info.Env(), true);
}

Napi::Value LockedByOthers(const Napi::CallbackInfo& info) {
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  struct flock range = Range(args, F_WRLCK);
  Check(info.Env(), fcntl(fd, F_OFD_GETLK, &range), "fcntl");
  return Napi::Boolean::New(info.Env(), range.l_type != F_UNLCK);
}

}  // namespace

void RegisterLock(Napi::Object exports) {
  Export<LockShared>(exports, "lockShared");
  Export<LockedByOthers>(exports, "lockedByOthers");
}

}  // namespace splitvm
