-- +goose Up

-- The canonical form of an address has its domain in ASCII (IDNA2008). The first
-- release stored the typed spelling, in lower case and NFC. After this migration a
-- replica of that release finds no account by a domain in Unicode; other users
-- sign in there as before.

-- punycode encodes one label: RFC 3492, section 6.3.
-- +goose StatementBegin
create function punycode(label text) returns text language plpgsql immutable strict as $$
declare
    codes int[] := array(select ascii(c) from regexp_split_to_table(label, '') with ordinality as s(c, i) order by i);
    encoded text := array_to_string(array(select chr(c) from unnest(codes) with ordinality as s(c, i) where c < 128 order by i), '');
    basic int := length(encoded);
    handled int := basic;
    n int := 128;
    delta int := 0;
    bias int := 72;
    next int;
    q int;
    k int;
    threshold int;
    code int;
begin
    if basic > 0 then
        encoded := encoded || '-';
    end if;
    while handled < array_length(codes, 1) loop
        select min(c) into next from unnest(codes) as c where c >= n;
        delta := delta + (next - n) * (handled + 1);
        n := next;
        foreach code in array codes loop
            if code < n then
                delta := delta + 1;
            elsif code = n then
                q := delta;
                k := 36;
                loop
                    threshold := greatest(1, least(26, k - bias));
                    exit when q < threshold;
                    encoded := encoded || substr('abcdefghijklmnopqrstuvwxyz0123456789', 1 + threshold + (q - threshold) % (36 - threshold), 1);
                    q := (q - threshold) / (36 - threshold);
                    k := k + 36;
                end loop;
                encoded := encoded || substr('abcdefghijklmnopqrstuvwxyz0123456789', 1 + q, 1);
                -- Adaptation of the bias: RFC 3492, section 6.1.
                delta := case when handled = basic then delta / 700 else delta / 2 end;
                delta := delta + delta / (handled + 1);
                bias := 0;
                while delta > 455 loop
                    delta := delta / 35;
                    bias := bias + 36;
                end loop;
                bias := bias + 36 * delta / (delta + 38);
                delta := 0;
                handled := handled + 1;
            end if;
        end loop;
        delta := delta + 1;
        n := n + 1;
    end loop;
    return encoded;
end $$;

create function canonical_email(email text) returns text language sql immutable strict as $$
    select split_part(email, '@', 1) || '@' || string_agg(
        case when label ~ '[^\x01-\x7f]' then 'xn--' || punycode(label) else label end, '.' order by i)
    from unnest(string_to_array(split_part(email, '@', 2), '.')) with ordinality as labels(label, i)
$$;

-- When both spellings have an account, the older one gets the address, and the
-- younger one gets the spelling in Unicode, which no sign-in finds.
do $$
declare
    u record;
    twin record;
begin
    for u in select id, email, created_at, canonical_email(email) as canonical from users
             where split_part(email, '@', 2) ~ '[^\x01-\x7f]' and length(canonical_email(email)) <= 254 loop
        select id, created_at into twin from users where email = u.canonical;
        if not found then
            update users set email = u.canonical, version = version + 1, updated_at = now() where id = u.id;
        elsif u.created_at < twin.created_at then
            update users set email = u.id::text where id = u.id; -- both are unique
            update users set email = u.email, version = version + 1, updated_at = now() where id = twin.id;
            update users set email = u.canonical, version = version + 1, updated_at = now() where id = u.id;
        end if;
    end loop;
end $$;

drop function canonical_email(text);
drop function punycode(text);
-- +goose StatementEnd
