"""Join two tables: to every order the name of its customer. The file's name tells which table a row is from.

    mr run examples/join.py examples/data/customers.csv examples/data/orders.csv --format csv -o out/joined

Neither table has to be sorted. A customer that is in no table is called unknown.
"""

from pathlib import PurePath


def mapper(row, ctx):
    if row[0] == "id":  # the header
        return
    if PurePath(ctx.input_file).name.startswith("customers"):
        customer, name = row
        yield customer, ("name", name)
    else:
        order, customer, amount = row
        yield customer, ("order", order, amount)


def reducer(customer, rows):
    name, orders = "unknown", []
    for kind, *fields in rows:
        if kind == "name":
            (name,) = fields
        else:
            orders.append(fields)
    for order, amount in sorted(orders):
        yield order, f"{name}\t{amount}"
