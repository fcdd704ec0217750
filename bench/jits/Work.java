/* Maps, lists, virtual calls, strings, recursion: much code that is compiled, little that runs for long. */
import java.util.*;
public class Work {
    interface Shape { double area(); }
    record Circle(double r) implements Shape { public double area() { return Math.PI * r * r; } }
    record Square(double a) implements Shape { public double area() { return a * a; } }
    static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
    public static void main(String[] args) {
        int n = args.length > 0 ? Integer.parseInt(args[0]) : 200000;
        Map<String, Integer> m = new HashMap<>();
        for (int i = 0; i < n; i++) m.merge("k" + (i % 5000), 1, Integer::sum);
        List<Shape> l = new ArrayList<>();
        for (int i = 0; i < n; i++) l.add(i % 3 == 0 ? new Circle(i) : new Square(i));
        double s = l.stream().mapToDouble(Shape::area).sum();
        StringBuilder b = new StringBuilder();
        for (int i = 0; i < n; i++) b.append(i * 31 % 97);
        System.out.println(m.size() + " " + (long) (s / 1e9) + " " + b.length() + " " + b.toString().hashCode() + " " + fib(30));
    }
}
