// Draws the courses that are in the page as data, over the still pictures that stand there without a script.
(() => {
  "use strict";
  const courses = JSON.parse(document.getElementById("courses").textContent);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const HEIGHT = 170;
  let plots = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const shown = (value) => (value === null || value === undefined ? "—" : Number(value.toPrecision(4)).toLocaleString("en"));

  const moment = (seconds) => {
    if (seconds === null || seconds === undefined) return "—";
    return new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";
  };

  function options(course, wide) {
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const series = [
      { label: "from", value: (_, value) => moment(value) },
      {
        label: course.label,
        stroke: colour("--accent"),
        width: 1.5,
        points: { show: course.times.length < 60, size: 4 },
        value: (_, value) => shown(value),
      },
    ];
    if (course.limit !== null) {
      series.push({
        label: course.note,
        stroke: colour("--bad"),
        width: 1.5,
        dash: [6, 4],
        points: { show: false },
        value: (_, value) => shown(value),
      });
    }
    return {
      width: wide,
      height: HEIGHT,
      series,
      padding: [null, 28, null, null], // half of a tick's words: 02:27:00
      axes: [{ ...axis, values: (_, ticks) => dates(ticks) }, { ...axis, size: 60, values: (_, ticks) => ticks.map(shown) }],
      scales: { y: { range: (_, least, greatest) => range(least, greatest) } },
      cursor: { sync: { key: String(course.group) }, y: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    };
  }

  // The time of day in UTC, and the day below it where it is another one than at the tick before.
  function dates(ticks) {
    const digits = ticks[1] - ticks[0] < 60 ? 8 : 5;
    let day = "";
    return ticks.map((tick) => {
      const [date, time] = new Date(tick * 1000).toISOString().split("T");
      const clock = time.slice(0, digits);
      if (date === day) return clock;
      day = date;
      return `${clock}\n${date}`;
    });
  }

  // From 0, unless there is something below; a course of zeros has a height too.
  function range(least, greatest) {
    const bottom = Math.min(0, least ?? 0);
    const top = Math.max(0, greatest ?? 0);
    return [bottom, top > bottom ? top + 0.05 * (top - bottom) : bottom + 1];
  }

  function draw(figure) {
    const course = courses[Number(figure.dataset.course)];
    const place = figure.querySelector(".plot");
    const data = [course.times, course.values];
    if (course.limit !== null) data.push(course.times.map(() => course.limit));
    figure.classList.add("drawn");
    plots.push([new uPlot(options(course, place.clientWidth), data, place), place]);
  }

  function drawAll() {
    for (const [plot] of plots) plot.destroy();
    plots = [];
    document.querySelectorAll("figure[data-course]").forEach(draw);
  }

  drawAll();
  scheme.addEventListener("change", drawAll);
  addEventListener("resize", () => {
    for (const [plot, place] of plots) plot.setSize({ width: place.clientWidth, height: HEIGHT });
  });
})();
