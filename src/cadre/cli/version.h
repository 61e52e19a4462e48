#pragma once

namespace cadre::cli {

/// Version, compiler, build type and the instruction sets of this machine: the first lines of a bug report.
void print_version(bool json);

}  // namespace cadre::cli
