"""The mean temperature of each weather station. Means of floats are exact: they never depend on how the work was cut.

    mr run examples/mean_by_key.py examples/data/weather.csv --format csv -o out/means

Rows without a measurement are counted and left out.
"""


def mapper(row, ctx):
    station, _, degrees = row
    if degrees == "degrees":  # the header
        return
    if not degrees:
        ctx.count("missing measurements")
        return
    yield station, float(degrees)


reducer = "mean"
